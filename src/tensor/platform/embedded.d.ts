/** What a build for browsers puts into the library, because a page has no folder to read it from: scripts/browser-side.ts. */
declare module 'frostgrad:embedded' {
  /** Texts of the kernels by the names of their files. */
  export const kernels: Readonly<Record<string, string>>;
  /** Compiled vector loops by their form, in base64. */
  export const vectorLoops: Readonly<Record<string, string>>;
  /** The source of browser-thread.mjs with all that it imports. */
  export const threadSource: string;
}
