import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const docs = fileURLToPath(new URL('../../docs/', import.meta.url));

test.each(['first-gradient', 'exercises', 'your-own-policy'])(
  '%s: the code of the page runs, and prints what it says',
  (name) => {
    const tsx = createRequire(import.meta.url).resolve('tsx/cli');
    const printed = execFileSync(process.execPath, [tsx, `${name}.ts`], { cwd: docs, encoding: 'utf8' });
    const [page, script] = [`${name}.md`, `${name}.ts`].map((file) => readFileSync(docs + file, 'utf8'));
    const blocks = [...page.matchAll(/^```(\w*)\n(.*?)^```/gms)];
    const code = blocks.flatMap(([, language, content]) => (language === 'ts' ? [content] : []));
    expect(code.length).toBeGreaterThan(1);
    for (const part of code) expect(script).toContain(part);
    expect(blocks.flatMap(([, language, content]) => (language === '' ? [content] : []))).toEqual([printed]);
  },
);
