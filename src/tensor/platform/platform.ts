/** Where the library runs. This is Node; a build for browsers puts `browser.ts` in the place of `node.ts`. */
export { platform } from './node.ts';
