import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { expect, test } from 'vitest';
import { Engine } from '../../page/engine.ts';
import type { Message, Settings, StepState } from '../../page/protocol.ts';
import { addressOf, usualSettings } from '../../page/settings.ts';
import { findChromium, isolation, keepMessages, serve, startChromium } from '../../scripts/chromium.ts';
import { openDevice } from '../../src/index.ts';

const settings: Settings = { ...usualSettings, steps: 16, threshold: 0.95, grace: 0.1 };
const chromium = findChromium();
if (!chromium) console.log('SKIPPED: no Chromium was found, so the page is not tried in one (CHROMIUM names one)');

const timeless = ({ full, rule, ...rest }: StepState) => ({
  ...rest,
  full: { ...full, milliseconds: 0 },
  rule: { ...rule, milliseconds: 0 },
});

const statesOf = (messages: readonly Message[]) =>
  messages.flatMap((message) => (message.type === 'step' ? [timeless(message.state)] : []));

test.runIf(chromium || process.env.CI === 'true')('in Chromium the page trains as Node does, bit for bit', async () => {
  if (!chromium) throw new Error('no Chromium was found, and CI is to try the page');
  const inNode: Message[] = [];
  const engine = new Engine(await openDevice('cpu', { form: 'plain' }), settings, { text: '', files: [] }, (message) =>
    inNode.push(message),
  );
  await engine.begin();
  while (!engine.finished) await engine.advance();

  const folder = mkdtempSync(join(tmpdir(), 'frostgrad-page-'));
  const configFile = fileURLToPath(new URL('../../page/vite.config.ts', import.meta.url));
  await build({ configFile, logLevel: 'error', build: { outDir: folder } });
  const [server, browser] = [await serve(folder, isolation), await startChromium(chromium)];
  try {
    const tab = await browser.newPage();
    const complaints: string[] = [];
    tab.on('console', (message) => void complaints.push(message.text()));
    tab.on('pageerror', ({ message }) => void complaints.push(message));
    await tab.addInitScript(keepMessages);
    await tab.goto(`${server.address}#${addressOf(settings)}`);
    const ended = "globalThis.heard.filter(({ type }) => type === 'ended').length === 2";
    await tab.waitForFunction(ended, null, { timeout: 50_000 });
    const inPage: Message[] = JSON.parse(await tab.evaluate('JSON.stringify(globalThis.heard)'));
    expect(statesOf(inPage)).toEqual(JSON.parse(JSON.stringify(statesOf(inNode))));
    const last = statesOf(inPage)[settings.steps - 1];
    expect(last.matrices.filter(({ frozen }) => frozen).length).toBeGreaterThanOrEqual(3);
    const graphs = inPage.flatMap((message) => (message.type === 'graph' ? [message.graph.nodes.length] : []));
    const left = graphs[graphs.length - 1];
    expect(left).toBeLessThan(graphs[0]);
    await tab.waitForFunction(`document.querySelectorAll('#graph [data-node]').length === ${left}`);
    expect(await tab.locator('#graph .node.gone').count()).toBe(graphs[0] - left);
    expect(complaints).toEqual([]);
  } finally {
    await browser.close();
    await server.close();
    rmSync(folder, { recursive: true });
  }
});
