// Prints "N passed, N failed" from vitest's JSON report: node scripts/count-tests.mjs report.json

import { existsSync, readFileSync } from 'node:fs';

const file = process.argv[2];
if (!file || !existsSync(file)) {
  // The test runner itself did not get far enough to report.
  console.log('0 passed, 1 failed');
} else {
  const report = JSON.parse(readFileSync(file, 'utf8'));
  // A test file that fails while it loads has no tests to count, but must not look like success.
  const unloadedFiles = report.testResults.filter(
    (/** @type {{ status: string, assertionResults: { status: string }[] }} */ { status, assertionResults }) =>
      status === 'failed' && assertionResults.every((test) => test.status !== 'failed'),
  ).length;
  const skipped = report.numPendingTests + report.numTodoTests;
  const counts = `${report.numPassedTests} passed, ${report.numFailedTests + unloadedFiles} failed`;
  console.log(skipped > 0 ? `${counts}, ${skipped} skipped` : counts);
}
