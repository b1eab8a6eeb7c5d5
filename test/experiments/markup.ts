/** Whether every element that is opened is closed in turn: linkedom forgives what a browser refuses in an SVG file. */
export function balanced(markup: string): boolean {
  const open: string[] = [];
  for (const [, closing, name, selfClosing] of markup.matchAll(/<(\/?)([a-zA-Z]+)(?:"[^"]*"|[^">])*?(\/?)>/g)) {
    if (closing) {
      if (open.pop() !== name) return false;
    } else if (!selfClosing && name !== undefined) open.push(name);
  }
  return open.length === 0;
}
