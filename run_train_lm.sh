#!/usr/bin/env bash
# Starts `gptmill train-lm` in the background, with a log; it goes on when the terminal closes.
set -euo pipefail

preset="" dataset=wikitext-103 epochs=20 batch_size=32 lr=3e-4 warmup=1000 snapshot=5000 dry_run=""

usage() {
    cat <<USAGE
usage: ./run_train_lm.sh [options]
  --preset NAME      tiny, small or medium (without it: 4 layers of 256)
  --dataset NAME     prepared with gptmill prepare ($dataset)
  --epochs N         ($epochs)
  --batch_size N     ($batch_size)
  --lr RATE          ($lr)
  --warmup STEPS     ($warmup)
  --snapshot STEPS   steps between extra checkpoints, 0 = off ($snapshot)
  --dry-run          print the command and start nothing
  -h, --help         this
Any other setting: gptmill train-lm --key=value ...
USAGE
}

while [ $# -gt 0 ]; do
    option=$1 value=""
    case $option in
        -h | --help) usage; exit 0 ;;
        --dry-run) dry_run=yes; shift; continue ;;
        --preset | --dataset | --epochs | --batch_size | --lr | --warmup | --snapshot)
            if [ $# -lt 2 ]; then echo "error: $option: needs a value; see ./run_train_lm.sh --help" >&2; exit 2; fi
            value=$2; shift 2 ;;
        --*=*) value=${option#*=} option=${option%%=*}; shift ;;
        *) echo "error: $option: unknown option; see ./run_train_lm.sh --help" >&2; exit 2 ;;
    esac
    case $option in
        --preset) preset=$value ;;
        --dataset) dataset=$value ;;
        --epochs) epochs=$value ;;
        --batch_size) batch_size=$value ;;
        --lr) lr=$value ;;
        --warmup) warmup=$value ;;
        --snapshot) snapshot=$value ;;
        *) echo "error: $option: unknown option; see ./run_train_lm.sh --help" >&2; exit 2 ;;
    esac
done

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
gptmill=$here/.venv/bin/gptmill
if [ ! -x "$gptmill" ]; then
    gptmill=$(command -v gptmill) || { echo "error: gptmill is not installed; run: make -C '$here' install" >&2; exit 1; }
fi

command=("$gptmill" train-lm "--dataset=$dataset" "--epochs=$epochs" "--batch_size=$batch_size" "--lr=$lr"
    "--warmup_steps=$warmup" "--snapshot_interval=$snapshot")
if [ -n "$preset" ]; then command+=("--model_preset=$preset"); fi
if [ -n "$dry_run" ]; then printf '%q ' "${command[@]}"; echo; exit 0; fi

"${command[@]}" --explain >/dev/null # a mistake in an option shows here and now, not in a log
logs=lm_${dataset//\//_}/logs
mkdir -p "$logs"
log=$logs/train_$(date +%Y%m%d_%H%M%S).log
nohup "${command[@]}" >"$log" 2>&1 </dev/null &
pid=$!
sleep 2
if ! kill -0 "$pid" 2>/dev/null && ! wait "$pid"; then # missing data shows within a second
    code=0; wait "$pid" || code=$?
    cat "$log" >&2
    exit "$code"
fi
cat <<STARTED
started, pid $pid
log     $log
follow  tail -f $log
stop    kill $pid      (the step in progress is finished and saved; continue with gptmill train-lm --resume)
STARTED
