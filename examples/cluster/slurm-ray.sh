#!/usr/bin/env bash
# One audit on several nodes by Ray: sbatch slurm-ray.sh
#SBATCH --job-name=rft
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=04:00:00
set -euo pipefail

export RFT_CACHE="${RFT_CACHE:-$SLURM_SUBMIT_DIR/cache}"
# Whoever reaches a port of Ray can run code as you: others on the cluster are kept out by a secret.
RAY_AUTH_TOKEN="$(python -c 'import secrets; print(secrets.token_hex(32))')"
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
export RAY_USAGE_STATS_ENABLED=0

first_node="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)"
export RAY_ADDRESS="$first_node:6379"
srun --nodes=1 --ntasks=1 --nodelist="$first_node" --overlap \
  ray start --head --port=6379 --num-cpus="$SLURM_CPUS_PER_TASK" --include-dashboard=false --block &
sleep 30
srun --nodes="$((SLURM_NNODES - 1))" --ntasks="$((SLURM_NNODES - 1))" --exclude="$first_node" \
  ray start --address="$RAY_ADDRESS" --num-cpus="$SLURM_CPUS_PER_TASK" --block &
sleep 30

rft audit audit.toml --set features.engine=ray --out "runs/$SLURM_JOB_ID"
