/** The page: its controls, the worker behind them, the settings in the address, and the views that show what comes. */
import readme from '../README.md?raw';
import { Controls } from './controls.ts';
import type { Command, Message, Settings, TaskData } from './protocol.ts';
import { addressOf, mostFiles, settingsFrom } from './settings.ts';
import type { View } from './view.ts';
import { views as makers } from './views/all.ts';

/** A longer text teaches the small model no more; of a file no more is read. */
const mostCharacters = 200_000;
const mostBytes = 2 ** 22;

const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module', name: 'training' });
const send = (command: Command) => worker.postMessage(command);

const notices = element('notices');
const data: { text: string; files: TaskData['files'] } = { text: readme, files: [] };

const controls = new Controls(element('controls'), {
  send,
  /** Everything but the rule: training begins anew. */
  restart(settings) {
    notices.replaceChildren();
    begin(settings);
  },
  remember,
  useText(text) {
    notices.replaceChildren();
    data.text = text.slice(0, mostCharacters);
    if (data.text.length < text.length) {
      tell(`The text has ${text.length} characters: the first ${mostCharacters} are used.`);
    }
    begin(controls.settings);
  },
  useFiles,
});

const views: View[] = Object.entries(makers).map(([id, make]) => make(element(id), send));

function element(id: string): HTMLElement {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no element ${id}`);
  return found;
}

/** What the user should know stays until training begins anew. */
function tell(text: string): void {
  const line = document.createElement('p');
  line.textContent = text;
  notices.append(line);
}

function begin(settings: Settings): void {
  remember(settings);
  send({ type: 'start', settings, data });
}

/** Puts the settings into the address, from where a link takes them. */
function remember(settings: Settings): void {
  history.replaceState(null, '', `#${addressOf(settings)}`);
}

/** Takes the settings of the address; what makes no sense is told. */
function beginFromAddress(): void {
  const { settings, faults } = settingsFrom(location.hash.slice(1));
  notices.replaceChildren();
  for (const fault of faults) tell(`In the address ${fault}.`);
  controls.show(settings, data.text);
  begin(settings);
}

async function useFiles(files: readonly File[]): Promise<void> {
  notices.replaceChildren();
  const read: TaskData['files'][number][] = [];
  if (files.length > mostFiles) tell(`${files.length} files are there: the first ${mostFiles} are used.`);
  for (const file of files.slice(0, mostFiles)) {
    try {
      const bytes = new Uint8Array(await file.slice(0, mostBytes).arrayBuffer());
      if (file.size > mostBytes) {
        tell(`${file.name} has ${Math.round(file.size / 1e6)} MB: its first ${mostBytes / 2 ** 20} MiB are used.`);
      }
      read.push({ name: file.name, bytes });
    } catch (error) {
      tell(`${file.name} cannot be read (${error instanceof Error ? error.message : error}): is it a folder?`);
    }
  }
  data.files = read;
  const settings: Settings = { ...controls.settings, task: 'files' };
  controls.show(settings, data.text);
  controls.showFiles(read.map(({ name }) => name));
  begin(settings);
}

let willDraw = false;

function hear(message: Message): void {
  if (message.type === 'notice') tell(message.text);
  if (message.type === 'error') tell(`Nothing trains: ${message.text}.`);
  controls.receive(message);
  for (const view of views) view.receive(message);
}

/** Hidden, a page is asked for no frame: what comes meanwhile is kept, and drawn once. */
function draw(): void {
  willDraw = false;
  controls.draw();
  for (const view of views) view.draw();
}

function drawSoon(): void {
  if (!willDraw) requestAnimationFrame(draw);
  willDraw = true;
}

worker.onmessage = ({ data: parcel }: MessageEvent<Message[]>) => {
  for (const message of parcel) hear(message);
  drawSoon();
};
worker.onerror = (event) => tell(`The worker that trains has failed: ${event.message || 'it could not be loaded'}.`);

addEventListener('hashchange', beginFromAddress);
addEventListener('dragover', (event) => event.preventDefault());
addEventListener('drop', (event) => {
  event.preventDefault();
  const files = [...(event.dataTransfer?.files ?? [])];
  if (files.length > 0) useFiles(files);
});

beginFromAddress();
drawSoon();
