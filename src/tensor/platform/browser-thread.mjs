// A thread of the cpu device in a browser; browser.ts starts it, and sends it what it needs.

import { help } from '../cpu/helper-thread.mjs';

Object.assign(globalThis, { onmessage: (/** @type {any} */ { data }) => help(data) });
