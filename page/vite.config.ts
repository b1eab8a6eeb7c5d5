/** How Vite serves and builds the page. */
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';
import { browserSide } from '../scripts/browser-side.ts';
import { isolation } from '../scripts/chromium.ts';

export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  // So that it can lie in any folder of any server.
  base: './',
  plugins: [browserSide()],
  worker: { format: 'es', plugins: () => [browserSide()] },
  server: { headers: isolation, fs: { allow: [fileURLToPath(new URL('..', import.meta.url))] } },
  // Found late, they would have the page load anew.
  optimizeDeps: { include: ['@huggingface/jinja', '@huggingface/tokenizers'] },
  preview: { headers: isolation },
  build: { target: 'es2022', emptyOutDir: true, chunkSizeWarningLimit: 1000 },
});
