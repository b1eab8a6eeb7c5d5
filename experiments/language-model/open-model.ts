/** The model, adapter and tokenizer that a command is told to use. */

import { formatCount, formatSeconds } from '../../command/format.ts';
import { device, OptionError, oneOf, text } from '../../command/options.ts';
import { type DeviceKind, loadAdapter, loadPretrained, loadTokenizer, openDevice } from '../../src/index.ts';

/** The options that say which. */
export const modelOptions = {
  model: text({ placeholder: 'DIR', help: 'a Hugging Face folder: config.json, weights, tokenizer.json' }),
  adapter: text({ placeholder: 'DIR', help: 'a LoRA adapter for it, as PEFT or saveAdapter writes one' }),
  dtype: oneOf(['stored', 'bf16', 'f32'], {
    default: 'stored',
    help: 'of the matrices; stored: bf16 where the file has them so, else f32',
  }),
  device: device(),
} as const;

interface Chosen {
  readonly model: string | null;
  readonly adapter: string | null;
  readonly dtype: 'stored' | 'bf16' | 'f32';
  readonly device: DeviceKind;
}

/**
 * Loads them and says how long that took.
 *
 * @throws {OptionError} no model was named.
 */
export async function openModel({ model: folder, adapter, dtype, device: kind }: Chosen, command: string) {
  if (folder === null) throw new OptionError('--model must be given: a Hugging Face folder', command);
  const started = performance.now();
  // First what is quick to read: an error in it then shows at once.
  const tokenizer = await loadTokenizer(folder);
  const device = await openDevice(kind);
  const pretrained = await loadPretrained(folder, { device, dtype });
  if (adapter !== null) await loadAdapter(pretrained, adapter);
  const { model, family } = pretrained;
  const weights = model.parameters().reduce((sum, { size }) => sum + size, 0);
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `${family.architecture}, ${formatCount(weights)} weights in ${model.tokens.table.dtype}, on ${device.kind} (${device.adapter}), ` +
      `loaded in ${formatSeconds(seconds)}`,
  );
  return { pretrained, model, tokenizer, device, loadSeconds: seconds };
}
