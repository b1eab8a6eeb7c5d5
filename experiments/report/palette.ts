/** The colours of all pictures, for a white ground and for a page that is light or dark. */

/** Each anything SVG takes. What still learns is warm, what is frozen is cold. */
export type Palette = Record<
  'paper' | 'ink' | 'muted' | 'line' | 'live' | 'frozen' | 'ice' | 'violet' | 'green',
  string
>;

/** Dark on a white ground: legible wherever the picture is shown. */
export const PAPER: Palette = {
  paper: '#ffffff',
  ink: '#1f2328',
  muted: '#57606a',
  line: '#d0d7de',
  live: '#d9480f',
  frozen: '#0b66b0',
  ice: '#e1f0fb',
  violet: '#8a3ffc',
  green: '#1a7f37',
};

const NIGHT: Palette = {
  paper: '#0f1419',
  ink: '#e6edf3',
  muted: '#9aa5b1',
  line: '#30363d',
  live: '#ff8a4c',
  frozen: '#6cb8ff',
  ice: '#16324a',
  violet: '#c4a1ff',
  green: '#57ce76',
};

/** Colours that follow the page, by the variables of `paletteCss`. */
export const PAGE: Palette = {
  paper: 'var(--paper)',
  ink: 'var(--ink)',
  muted: 'var(--muted)',
  line: 'var(--line)',
  live: 'var(--live)',
  frozen: 'var(--frozen)',
  ice: 'var(--ice)',
  violet: 'var(--violet)',
  green: 'var(--green)',
};

export function paletteCss(): string {
  const variables = (palette: Palette) =>
    Object.entries(palette)
      .map(([name, value]) => `--${name}: ${value};`)
      .join(' ');
  return `:root { color-scheme: light dark; ${variables(PAPER)} }
@media (prefers-color-scheme: dark) { :root { ${variables(NIGHT)} } }`;
}
