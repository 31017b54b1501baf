#!/bin/bash
# sbatch deploy/predict-slurm.sh [FLAGS]
# 16 tasks share a list of photos, which mobilenet learns from SLURM_ARRAY_TASK_ID and
# SLURM_ARRAY_TASK_COUNT. A task whose node dies is queued again and goes on with what
# its results lack. FLAGS are more of mobilenet predict's. See docs/jobs.md.
#SBATCH --job-name=mobilenet-predict
#SBATCH --array=0-15
#SBATCH --cpus-per-task=2
#SBATCH --mem=1G
#SBATCH --time=24:00:00
#SBATCH --requeue
#SBATCH --output=predict-%A_%a.log
set -euo pipefail

# Where list.jsonl and its photos are, on a disk that all nodes see.
cd "${SLURM_SUBMIT_DIR:?Slurm sets it: this is run by sbatch}"

exec mobilenet predict \
	--model model.pth \
	--from list.jsonl \
	--output results/labels \
	--resume \
	--threads "$SLURM_CPUS_PER_TASK" \
	"$@"
