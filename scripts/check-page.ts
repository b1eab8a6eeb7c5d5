/**
 * Tries the page in Chromium as a stranger might: what it weighs, how soon it is there, whether it stalls or grows, WebGPU and what
 * happens without it, and input that makes no sense. `npm run check:page`; `-- --screenshots FOLDER` also leaves pictures.
 */

import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core';
import { build } from 'vite';
import { oneOf, readOptions, text } from '../command/options.ts';
import { runCommand } from '../command/run.ts';
import type { Message, StepState } from '../page/protocol.ts';
import { findChromium, isolation, keepMessages, serve, startChromium } from './chromium.ts';

/** The same without keeping all of it, for what is measured. */
const listenBriefly = keepMessages.replace(
  'globalThis.heard.push(...data)',
  "{ if (data.some(({ type }) => type === 'step')) globalThis.heard = data; }",
);
const eager = 'rule=grades-below&threshold=0.95&grace=0.1&patience=0.02';

const parts = ['smoothness', 'devices', 'input'] as const;

const folder = mkdtempSync(join(tmpdir(), 'frostgrad-page-'));
const site = join(folder, 'site');

function expectThat(isTrue: boolean, what: string): void {
  if (!isTrue) throw new Error(`check-page: not so: ${what}`);
  console.log(`ok: ${what}`);
}

await runCommand(async () => {
  const options = readOptions({
    command: 'npm run check:page',
    about: 'Builds the page and tries it in Chromium.',
    argv: process.argv.slice(2),
    options: {
      only: oneOf(parts, { help: `this part alone: ${parts.join(', ')}` }),
      screenshots: text({ placeholder: 'FOLDER', help: 'leaves pictures of the page there' }),
    },
  });
  if (!options) return;
  const executable = findChromium();
  if (!executable) {
    console.log('SKIPPED: no Chromium was found, so the page is not tried (CHROMIUM names one)');
    if (process.env.CI === 'true') process.exitCode = 1;
    return;
  }
  const [browser, withoutGpu] = [
    await startChromium(executable),
    await chromium.launch({ executablePath: executable, args: ['--no-sandbox'] }),
  ];
  try {
    await build({
      configFile: fileURLToPath(new URL('../page/vite.config.ts', import.meta.url)),
      logLevel: 'error',
      build: { outDir: site },
    });
    const [isolated, plain] = [await serve(site, isolation), await serve(site)];
    checkWeight();
    const wants = (part: (typeof parts)[number]) => options.only === null || options.only === part;
    if (wants('smoothness')) await checkSmoothness(browser, isolated.address);
    if (wants('devices')) await checkDevices(browser, withoutGpu, isolated.address, plain.address);
    if (wants('input')) await checkInput(browser, isolated.address);
    if (options.screenshots) await takePictures(browser, isolated.address, options.screenshots);
    for (const each of [isolated, plain]) await each.close();
  } finally {
    for (const each of [browser, withoutGpu]) await each.close();
    rmSync(folder, { recursive: true, force: true });
  }
});

function checkWeight(): void {
  const names = readdirSync(site, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = names.map((entry) => gzipSync(readFileSync(join(entry.parentPath, entry.name)), { level: 9 }).length);
  const total = bytes.reduce((sum, each) => sum + each, 0);
  expectThat(total < 400_000, `the build weighs ${Math.round(total / 1000)} KB, gzipped`);
}

async function open(
  browser: Browser,
  address: string,
  { context = {}, script = keepMessages }: { context?: BrowserContextOptions; script?: string } = {},
): Promise<Page> {
  const tab = await (await browser.newContext(context)).newPage();
  tab.on('console', (message) => console.log(`console: ${message.text()}`));
  tab.on('pageerror', ({ message }) => console.log(`error of the page: ${message}`));
  await tab.addInitScript(script);
  await tab.goto(address);
  return tab;
}

async function close(tab: Page): Promise<void> {
  await tab.context().close();
}

async function untilStep(tab: Page, step: number, timeout: number): Promise<void> {
  const found = `globalThis.heard.some(({ type, state }) => type === 'step' && state.step >= ${step})`;
  await tab.waitForFunction(found, null, { timeout });
}

async function untilEnded(tab: Page, timeout: number): Promise<void> {
  const both = "globalThis.heard.filter(({ type }) => type === 'ended').length >= 2";
  await tab.waitForFunction(both, null, { timeout });
}

async function untilTold(tab: Page, words: string): Promise<void> {
  await tab.waitForSelector(`#notices :text("${words}")`, { timeout: 60_000 });
}

async function heard(tab: Page): Promise<Message[]> {
  return JSON.parse(await tab.evaluate('JSON.stringify(globalThis.heard)'));
}

async function lastState(tab: Page): Promise<StepState> {
  const last = (await heard(tab)).findLast((message) => message.type === 'step');
  if (!last) throw new Error('check-page: the page has made no step');
  return last.state;
}

function frozenIn({ matrices }: StepState): number {
  return matrices.filter(({ frozen }) => frozen).length;
}

async function checkSmoothness(browser: Browser, address: string): Promise<void> {
  const tab = await open(browser, `${address}#steps=2000`, { script: listenBriefly });
  const paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime";
  const first = Number(await (await tab.waitForFunction(paint)).jsonValue());
  console.log(`measured: something is to be seen after ${Math.round(first)} ms`);
  await untilStep(tab, 5, 60_000);
  await browser.startTracing(tab, { categories: ['toplevel', 'devtools.timeline'] });
  await untilStep(tab, 400, 120_000);
  const longest = longestTask(JSON.parse((await browser.stopTracing()).toString()).traceEvents);
  expectThat(
    longest < 50,
    `while it trains, the longest task of the page's own thread takes ${longest.toFixed(0)} ms of a processor`,
  );
  /** Of page and workers, in MB; Chromium answers when it has collected garbage. */
  const memory = async () =>
    (await tab.evaluate<number>('performance.measureUserAgentSpecificMemory().then(({ bytes }) => bytes)')) / 1e6;
  await untilStep(tab, 500, 120_000);
  const early = await memory();
  await untilStep(tab, 2000, 300_000);
  const late = await memory();
  const grown = late - early;
  expectThat(
    grown < 20,
    `from step 500 to 2,000 page and worker grow by ${grown.toFixed(1)} MB, from ${early.toFixed(1)}`,
  );
  await close(tab);
}

interface TraceEvent {
  name: string;
  pid: number;
  tid: number;
  args: { name?: string };
  /** Processor time in microseconds: other programs do not count. */
  tdur?: number;
}

/** In milliseconds, on the thread that draws and listens. */
function longestTask(events: readonly TraceEvent[]): number {
  const threads = events.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain');
  const isMain = ({ pid, tid }: TraceEvent) => threads.some((thread) => thread.pid === pid && thread.tid === tid);
  const tasks = events.filter((event) => event.name.endsWith('RunTask') && isMain(event));
  if (tasks.length === 0) throw new Error('check-page: the trace holds no task');
  return tasks.reduce((most, { tdur = 0 }) => Math.max(most, tdur), 0) / 1000;
}

async function checkDevices(browser: Browser, withoutGpu: Browser, isolated: string, plain: string): Promise<void> {
  const run = `steps=14&${eager}`;
  const ended = async (address: string, more = '', milliseconds = 60_000) => {
    const tab = await open(browser, `${address}#${run}${more}`);
    await untilEnded(tab, milliseconds);
    const line = (await tab.textContent('#device-line')) ?? '';
    const state = await lastState(tab);
    const graphs = (await heard(tab)).flatMap((each) => (each.type === 'graph' ? [each.graph.nodes.length] : []));
    await close(tab);
    return { line, graphs, frozen: frozenIn(state), losses: [state.full.loss, state.rule.loss] };
  };
  const threads = await ended(isolated);
  expectThat(/\d threads/.test(threads.line), `with the headers: ${threads.line}`);
  const alone = await ended(plain);
  expectThat(alone.line.includes('on one thread'), `without them: ${alone.line}`);
  expectThat(`${alone.losses}` === `${threads.losses}`, `both end with the same losses, ${alone.losses}`);
  const refused = await open(withoutGpu, `${isolated}#${run}&device=webgpu`);
  await untilTold(refused, 'The processor trains instead');
  await untilEnded(refused, 60_000);
  expectThat(true, `without WebGPU it says: ${await refused.textContent('#notices')}`);
  await close(refused);

  const onGpu = await ended(isolated, '&device=webgpu', 400_000);
  const apart = Math.max(...onGpu.losses.map((loss, i) => Math.abs(loss / alone.losses[i] - 1)));
  expectThat(apart < 1e-3, `WebGPU: ${onGpu.line} Its losses, ${onGpu.losses}, differ by ${apart.toExponential(1)}`);
  expectThat(onGpu.frozen >= 3, `and ${onGpu.frozen} matrices freeze`);
  const [before, after] = [onGpu.graphs[0], onGpu.graphs[onGpu.graphs.length - 1]];
  expectThat(after < before, `and the graph falls from ${before} to ${after} nodes`);
}

async function checkInput(browser: Browser, address: string): Promise<void> {
  const tab = await open(browser, `${address}#steps=abc&seed=-3&colour=red&threshold=7&steps=1`);
  await untilStep(tab, 2, 60_000);
  expectThat(true, `nonsense in the address: ${await tab.textContent('#notices')}`);
  await tab.selectOption('#task', 'text');
  await tab.fill('#text', '');
  await tab.click('#use-text');
  await untilTold(tab, 'the text is empty');
  await tab.fill('#text', 'How much wood would a woodchuck chuck? '.repeat(40));
  await tab.click('#use-text');
  await tab.evaluate('globalThis.heard = []');
  await untilStep(tab, 2, 60_000);
  expectThat(true, 'an empty text is told, and another one trains');
  const [large, small] = [join(folder, 'large.bin'), join(folder, 'small.txt')];
  writeFileSync(large, 'x');
  truncateSync(large, 100e6);
  writeFileSync(small, readFileSync(new URL(import.meta.url)));
  await tab.selectOption('#task', 'files');
  await untilTold(tab, 'no file is there');
  await tab.setInputFiles('#files', [large, small]);
  await untilTold(tab, 'large.bin has 100 MB');
  await tab.evaluate('globalThis.heard = []');
  await untilStep(tab, 2, 60_000);
  expectThat(true, `a file of 100 MB: ${await tab.textContent('#notices')}`);

  const session = await tab.context().newCDPSession(tab);
  await session.send('Page.setWebLifecycleState', { state: 'frozen' });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  await session.send('Page.setWebLifecycleState', { state: 'active' });
  const { step } = await lastState(tab);
  await untilStep(tab, step + 3, 60_000);
  expectThat(true, 'a page that was hidden and put to sleep goes on');
  await close(tab);

  const lost = await open(browser, `${address}#steps=40`);
  await lost.waitForFunction('globalThis.heard.length > 0');
  await lost.workers()[0].evaluate(`
    const { requestDevice } = GPUAdapter.prototype;
    GPUAdapter.prototype.requestDevice = async function (...options) {
      globalThis.device = await requestDevice.apply(this, options);
      return globalThis.device;
    };`);
  await lost.selectOption('#device', 'webgpu');
  const trains = `globalThis.heard.slice(globalThis.heard.findLastIndex(({ type }) => type === 'device'))`;
  const onGpu = `${trains}[0].device.kind === 'webgpu' && ${trains}.some(({ type }) => type === 'step')`;
  await lost.waitForFunction(onGpu, null, { timeout: 240_000 });
  await lost.workers()[0].evaluate('globalThis.device.destroy()');
  await untilTold(lost, 'The processor goes on from the last checkpoint');
  await untilEnded(lost, 60_000);
  expectThat(true, `WebGPU lost in the middle: ${await lost.textContent('#notices')}`);
  await close(lost);
}

async function takePictures(browser: Browser, address: string, pictures: string): Promise<void> {
  mkdirSync(pictures, { recursive: true });
  for (const colorScheme of ['light', 'dark'] as const) {
    for (const width of [360, 400, 1400]) {
      const context: BrowserContextOptions = { viewport: { width, height: 900 }, colorScheme };
      const tab = await open(browser, `${address}#steps=200`, { context });
      await untilEnded(tab, 120_000);
      const path = join(pictures, `page-${width}-${colorScheme}.png`);
      await tab.screenshot({ path, fullPage: true });
      console.log(path);
      await close(tab);
    }
  }
}
