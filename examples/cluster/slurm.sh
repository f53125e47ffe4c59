#!/usr/bin/env bash
# One audit on several nodes by torchrun: sbatch slurm.sh
#SBATCH --job-name=rft
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
# With GPUs: add --gpus-per-node=4, and give 4 to --nproc-per-node below.
set -euo pipefail

# Without features.store in audit.toml: a folder that all nodes reach.
export RFT_CACHE="${RFT_CACHE:-$SLURM_SUBMIT_DIR/cache}"
# Keys of runs and ledgers of privacy: process 0, which writes them, may be on any node.
export RFT_STATE="${RFT_STATE:-$SLURM_SUBMIT_DIR/state}"
# Nodes without a network find the weights in a cache that was filled beforehand, on a node that has one:
# export TORCH_HOME="$SLURM_SUBMIT_DIR/torch" HF_HOME="$SLURM_SUBMIT_DIR/huggingface"

first_node="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
srun --kill-on-bad-exit=1 python -m rft.cli.torchrun \
  --nnodes "$SLURM_NNODES" \
  --nproc-per-node 1 \
  --rdzv-id "$SLURM_JOB_ID" \
  --rdzv-backend c10d \
  --rdzv-endpoint "$first_node:29500" \
  -m rft audit audit.toml --out "runs/$SLURM_JOB_ID"
