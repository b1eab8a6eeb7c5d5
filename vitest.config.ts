import { defineConfig } from 'vitest/config';

// One process for all GPU tests: a device per file costs more than the tests themselves.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    isolate: false,
    testTimeout: 60_000,
  },
});
