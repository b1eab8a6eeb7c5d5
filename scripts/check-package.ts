/**
 * Packs the library and uses it as a stranger would: installed in an empty project, type checked, run in this Node, bundled, and
 * loaded by a page as it is. `npm run check:package`; `npm run build` comes first.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { findChromium, isolation, serve, startChromium } from './chromium.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);
const project = mkdtempSync(join(tmpdir(), 'frostgrad-package-'));
const compiler = join(dirname(require.resolve('typescript/package.json')), 'bin', 'tsc');

function run(program: string, options: readonly string[], cwd = project): string {
  const isNpm = program === 'npm';
  const command = isNpm ? ['npm', ...options].join(' ') : program;
  const { status, stdout, stderr } = spawnSync(command, isNpm ? [] : options, { cwd, encoding: 'utf8', shell: isNpm });
  if (status === 0) return stdout;
  throw new Error(`${program} ${options.join(' ')}: ended with ${status}\n${stdout}${stderr}`);
}

function expectThat(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(`check-package: ${what}`);
  console.log(`ok: ${what}`);
}

try {
  const [packed] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', project], root));
  const paths: string[] = packed.files.map(({ path }: { path: string }) => path);
  const strange = paths.filter(
    (path) =>
      !/^(LICENSE|README\.md|package\.json|dist\/browser\.js)$/.test(path) &&
      !/^dist\/(src\/.*\.(js|mjs|d\.ts|d\.mts)|kernels\/\w+\.wgsl|build\/simd-(plain|relaxed|wide)\.wasm)$/.test(path),
  );
  expectThat(strange.length === 0, `the package of ${packed.size} bytes holds nothing strange (${strange.join(', ')})`);
  for (const needed of ['dist/src/index.d.ts', 'dist/kernels/matmul.wgsl', 'dist/build/simd-plain.wasm']) {
    expectThat(paths.includes(needed), `it holds ${needed}`);
  }

  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'stranger', private: true, type: 'module' }));
  run('npm', ['install', '--ignore-scripts', `./${packed.filename}`, `@types/node@${devDependencies['@types/node']}`]);
  const program = readFileSync(join(root, 'scripts', 'package', 'train.ts'), 'utf8');
  writeFileSync(join(project, 'train.ts'), program);
  const tell = "import { train } from './train.js';\nconsole.log(JSON.stringify(await train()));\n";
  writeFileSync(join(project, 'main.ts'), tell);

  const usual = ['--ignoreConfig', '--strict', '--target', 'es2022', '--types', 'node', 'main.ts'];
  for (const [resolution, module] of [
    ['nodenext', 'nodenext'],
    ['bundler', 'preserve'],
  ]) {
    for (const lib of ['es2022', 'es2022,dom']) {
      const options = ['--noEmit', '--module', module, '--moduleResolution', resolution, '--lib', lib];
      run(process.execPath, [compiler, ...options, ...usual]);
      expectThat(true, `it is type checked, declarations too: strict, ${resolution}, ${lib}`);
    }
  }

  run(process.execPath, [compiler, '--module', 'nodenext', ...usual]);
  const inNode = JSON.parse(run(process.execPath, ['main.js']));
  expectThat(inNode.adapter.startsWith('WebAssembly vectors (plain)'), `Node ${process.version}: ${inNode.adapter}`);
  expectThat(inNode.loss > 0 && inNode.loss < 3, `it trains, to a loss of ${inNode.loss}`);

  // Two pages with a worker each: one bundled, one that loads the package's file as it lies there.
  const worker = (from: string) => `${from}\ntrain().then((result) => postMessage(result));\n`;
  const page = (script: string) =>
    `<!doctype html><title>frostgrad</title><link rel="icon" href="data:,"><script type="module">
      new Worker(new URL('${script}', location), { type: 'module' }).onmessage = ({ data }) => { globalThis.result = data; };
    </script>`;
  writeFileSync(join(project, 'bundle-entry.js'), worker("import { train } from './train.js';"));
  await build({
    configFile: false,
    root: project,
    logLevel: 'error',
    build: {
      outDir: project,
      emptyOutDir: false,
      lib: { entry: join(project, 'bundle-entry.js'), formats: ['es'], fileName: () => 'bundled.js' },
    },
  });
  writeFileSync(join(project, 'bundled.html'), page('./bundled.js'));
  const compiled = readFileSync(join(project, 'train.js'), 'utf8');
  const plain = compiled.replaceAll("'frostgrad'", "'./node_modules/frostgrad/dist/browser.js'");
  writeFileSync(join(project, 'plain-train.js'), plain);
  writeFileSync(join(project, 'plain.js'), worker("import { train } from './plain-train.js';"));
  writeFileSync(join(project, 'plain.html'), page('./plain.js'));

  const executable = findChromium();
  if (!executable) {
    console.log('SKIPPED: no Chromium was found, so the package was not run in a page (CHROMIUM names one)');
    if (process.env.CI === 'true') process.exitCode = 1;
  } else {
    const browser = await startChromium(executable);
    for (const headers of [{}, isolation]) {
      const server = await serve(project, headers);
      for (const name of ['bundled', 'plain']) {
        const tab = await browser.newPage();
        tab.on('console', (message) => console.log(`${name}: ${message.text()}`));
        await tab.goto(`${server.address}${name}.html`);
        const handle = await tab.waitForFunction('globalThis.result', null, { timeout: 60_000 });
        const inPage: unknown = await handle.jsonValue();
        const shown = JSON.stringify(inPage);
        const isSame = typeof inPage === 'object' && inPage !== null && 'loss' in inPage && inPage.loss === inNode.loss;
        expectThat(isSame, `the ${name} page trains to the same loss, bit for bit: ${shown}`);
        await tab.close();
      }
      await server.close();
    }
    await browser.close();
  }
} finally {
  rmSync(project, { recursive: true, force: true });
}
