/** Numbers as people read them: counts, bytes, times and shares. */

const SI_PREFIXES = ['', 'k', 'M', 'G', 'T', 'P', 'E'];
const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

/** Three significant digits and an SI prefix: `1.23 GFLOP`, `12.3 k`, `640`. */
export function formatCount(value: number, unit = ''): string {
  const { digits, step } = scaled(value, 1000, SI_PREFIXES.length);
  return `${digits} ${SI_PREFIXES[step]}${unit}`.trimEnd();
}

/** `3.4 MiB`, `512 B`. */
export function formatBytes(bytes: number): string {
  const { value, step } = scaled(bytes, 1024, BYTE_UNITS.length);
  return `${step === 0 ? Math.round(value) : value.toFixed(1)} ${BYTE_UNITS[step]}`;
}

/** `0.25 s`, `12.3 s`, `2 min 03 s`. */
export function formatSeconds(seconds: number): string {
  if (!Number.isFinite(seconds)) return String(seconds);
  if (seconds < 1) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
}

/** `0:41`, `1:02:03`: for a figure that counts down in its place. */
export function formatClock(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const twoDigits = (value: number) => String(value).padStart(2, '0');
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${twoDigits(minutes)}:${twoDigits(whole % 60)}` : `${minutes}:${twoDigits(whole % 60)}`;
}

/** A share as a percentage: `formatPercent(0.8312)` is `83.1 %`. */
export function formatPercent(share: number, decimals = 1): string {
  return `${(100 * share).toFixed(decimals)} %`;
}

// Steps up when rounding to three digits reaches the next unit, so that 999,999 is `1.00 M` and not `1000 k`.
function scaled(input: number, base: number, steps: number) {
  let value = input;
  let step = 0;
  while (step < steps - 1 && Math.abs(value) >= base * 0.9995) {
    value /= base;
    step++;
  }
  const decimals =
    step === 0 && Number.isInteger(value) ? 0 : Math.abs(value) < 9.995 ? 2 : Math.abs(value) < 99.95 ? 1 : 0;
  return { value, step, digits: value.toFixed(decimals) };
}
