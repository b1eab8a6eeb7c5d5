/** The colours of all pictures. They follow the page, light or dark; a file of its own is dark on white. */

type Palette = Readonly<
  Record<'paper' | 'ink' | 'muted' | 'line' | 'live' | 'frozen' | 'ice' | 'violet' | 'green', string>
>;

/** What pictures are drawn with: variables of `paletteCss`. What still learns is warm, what is frozen is cold. */
export const palette: Palette = {
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

const day: Palette = {
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

const night: Palette = {
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

/** The picture as a file of its own, legible wherever it is shown. */
export function onWhite(svg: string): string {
  return Object.entries(day).reduce((drawn, [name, value]) => drawn.replaceAll(`var(--${name})`, value), svg);
}

export function paletteCss(): string {
  const variables = (colours: Palette) =>
    Object.entries(colours)
      .map(([name, value]) => `--${name}: ${value};`)
      .join(' ');
  return `:root { color-scheme: light dark; ${variables(day)} }
@media (prefers-color-scheme: dark) { :root { ${variables(night)} } }`;
}
