/** Elements of the page, made in one line each. */

/** An element of a class, with its children. */
export function make<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  className = '',
  ...children: (Node | string)[]
): HTMLElementTagNameMap[Tag] {
  const element = document.createElement(tag);
  if (className !== '') element.className = className;
  element.append(...children);
  return element;
}

export function makeSvg<Tag extends keyof SVGElementTagNameMap>(
  tag: Tag,
  attributes: Readonly<Record<string, string | number>> = {},
  ...children: (Node | string)[]
): SVGElementTagNameMap[Tag] {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

export function formatBytes(bytes: number): string {
  return bytes >= 1e6 ? `${(bytes / 1e6).toFixed(2)} MB` : `${(bytes / 1e3).toFixed(1)} kB`;
}

/** `blocks.0.attention.query.weight` → `query of block 0`. */
export function spoken(parameter: string): string {
  const [, block, path] = /^blocks\.(\d+)\.(.*)$/.exec(parameter) ?? [];
  const parts = (path ?? parameter).split('.');
  const name = parts.length > 2 ? parts[1] : parts[0];
  return block === undefined ? name : `${name} of block ${block}`;
}
