#!/usr/bin/env bash
#   sbatch sweeps/cluster/slurm.sh sweeps/deit_small_imagenet.yaml --storage /shared/results --set data.root=/shared/imagenet
#   tail -f ofb-ray-JOBID.log
#   scancel --batch --signal=INT JOBID   # stops in order; the first line again goes on where it stopped
#
# Run them in the project's folder on a file system that all nodes mount, with its environment active (`ofb-ray`, `ray` on PATH).
# Everything after the script's name goes to `ofb-ray sweep`. Two minutes before the time limit, or when the job is
# pre-empted, the sweep is stopped in order and the job queued again: it goes on by itself until all trials are done.
#SBATCH --job-name=ofb-ray
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=96
#SBATCH --gpus-per-node=8
#SBATCH --time=24:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=ofb-ray-%j.log
set -euo pipefail

cpus=${SLURM_CPUS_PER_TASK:-${SLURM_CPUS_ON_NODE:?run this by sbatch}}
gpus=${SLURM_GPUS_ON_NODE:-0}
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# Jobs share nodes, so each has a range of ports of its own, and a token without which no other user's process gets in.
first=$((20000 + SLURM_JOB_ID % 127 * 100))
port=${OFB_RAY_PORT:-$first}
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
temporary=$(mktemp -d "/tmp/ofb-ray-$SLURM_JOB_ID-XXXX")

on() { # on NODE COMMAND... &: one task there, beside whatever else runs there; a signal to the job is one to srun
    exec srun --nodes=1 --ntasks=1 --overlap --nodelist="$1" --cpus-per-task="$cpus" "${@:2}"
}
head_address=$(hostname -I | cut -d ' ' -f 1)
address=$head_address:$port

common=(--block --disable-usage-stats --num-cpus="$cpus" --num-gpus="$gpus" --min-worker-port=0 --max-worker-port=0)
on "${nodes[0]}" ray start --head --node-ip-address="$head_address" --port="$port" --temp-dir="$temporary" \
    --include-dashboard=false --ray-client-server-port=$((first + 1)) --dashboard-agent-listen-port=$((first + 2)) \
    "${common[@]}" &
until (exec 3<>"/dev/tcp/$head_address/$port") 2>/dev/null; do
    sleep 1
    kill -0 $! # the head has ended: so does this script
done
for node in "${nodes[@]:1}"; do
    on "$node" ray start --address="$address" --dashboard-agent-listen-port=$((first + 3)) "${common[@]}" &
done

# The driver is started by this script and not by srun, so that a signal reaches it and nothing else.
ofb-ray sweep "$@" --address "$address" &
driver=$!
again=
trap 'kill -TERM "$driver" 2>/dev/null || true' INT
trap 'again=yes; kill -TERM "$driver" 2>/dev/null || true' TERM
while true; do # `wait` ends at the signal, the driver a few seconds later
    code=0
    wait "$driver" || code=$?
    kill -0 "$driver" 2>/dev/null || break
done
trap '' INT TERM

mapfile -t running < <(jobs -rp)
kill -TERM "${running[@]}" 2>/dev/null || true
wait
rm -rf "$temporary"
if [[ $again ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
