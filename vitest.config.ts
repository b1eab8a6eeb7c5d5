import { defineConfig } from 'vitest/config';

// Few processes, each for many files: a device per file costs more than the tests themselves.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    isolate: false,
    testTimeout: 60_000,
  },
});
