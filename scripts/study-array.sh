#!/usr/bin/env bash
# The study as a job array of Slurm: one part a task. See docs/many-machines.md.
#
#   PARTS=6 OUT=/shared/runs/study sbatch --array=1-6 scripts/study-array.sh --model … --tasks … --seeds 1,2,3
#
# A task that was killed or ran out of time is submitted again by its number, with the same PARTS and OUT: --array=4.

#SBATCH --job-name=frostgrad-study
#SBATCH --cpus-per-task=1
#SBATCH --mem=12G
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=study-%a.log

set -euo pipefail
# Where sbatch was called: Slurm runs a copy of this file from a folder of its own.
cd "${SLURM_SUBMIT_DIR:-.}"
# In place of the shell, so that the signal of scancel ends the command after the step under way.
exec node scripts/run.mjs experiments/study/study.ts "$@" --device cpu --out "$OUT" --shard "$SLURM_ARRAY_TASK_ID/$PARTS"
