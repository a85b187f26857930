#!/usr/bin/env bash
# Everything that only a machine with an NVIDIA GPU can tell, in one command of at most 8 minutes:
#   bench/gpu_check.sh [DIRECTORY FOR THE RESULTS, bench/results if left out]
# Builds here, without network, with the python3 that is installed. Runs the probes; then, all at
# once, the kernel and engine tests on the GPU, compute-sanitizer, the Python tests, the papers'
# experiments in quick form (with HESSCORE_DATA) and a comparison of what all sides compute; then the
# timings, side by side with PyTorch, BackPACK, cuDNN and JAX. One part that fails does not stop the
# others; the exit code counts the failures.
set -uo pipefail
cd "$(dirname "$0")/.."
results=$(realpath -m "${1:-bench/results}")
python=${PYTHON:-python3}
build=$(realpath -m "${HESSCORE_GPU_BUILD:-build/gpu}")
logs=$build/logs
rm -rf "$logs"
mkdir -p "$logs" "$results"
cores=$(nproc)
export HESSCORE_TEST_CUDA=real

# part NAME SECONDS COMMAND...: its output goes to the logs, its last lines are shown if it fails.
# What there is no time for any more counts as failed, too.
part() {
  local name=$1 limit=$2 start=$SECONDS left=$((460 - SECONDS)) code=0
  shift 2
  if ((left < limit)); then limit=$((left > 1 ? left : 1)); fi
  timeout "$limit" "$@" > "$logs/$name.log" 2>&1 || code=$?
  if ((code == 0)); then
    printf '%s: passed in %d s\n' "$name" $((SECONDS - start))
  else
    touch "$logs/$name.failed"
    printf '%s: FAILED (exit code %d) after %d s\n%s\n' "$name" "$code" $((SECONDS - start)) \
      "$(tail -n 25 "$logs/$name.log")"
  fi
}

architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d .)
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | tee "$logs/device.txt"

configure() {
  cmake -G Ninja -S . -B "$build" -DCMAKE_BUILD_TYPE=Release -DHESSCORE_CUDA=ON -DHESSCORE_TESTS=ON \
    -DHESSCORE_BENCH=ON -DPython_EXECUTABLE="$(command -v "$python")" \
    -DCMAKE_CUDA_ARCHITECTURES="$architecture" "$@"
}
part configure 60 bash -c "$(declare -f configure); build='$build' python='$python' \
  architecture='$architecture'; configure -DHESSCORE_PYTHON=ON || configure -DHESSCORE_PYTHON=OFF"
part build 280 cmake --build "$build" -j "$cores"

export HESSCORE_CUDA_PLUGIN=$build/libhesscore_cuda.so
part probes 40 "$build/gpu_probes"

# All at once. A test program with an argument runs the tests whose names contain it.
part tests 120 ctest --test-dir "$build" -j "$((cores / 2))" --output-on-failure --timeout 100 &
export PYTHONPATH=$build/pkg
if "$python" -c 'import hesscore'; then
  part python 60 "$python" -m pytest -q -x tests/python/test_cuda.py &
  part agreement 60 env XLA_PYTHON_CLIENT_PREALLOCATE=false "$python" bench/gpu/agree.py &
  if [[ -d ${HESSCORE_DATA:-} ]]; then
    part papers 90 "$python" -m hesscore reproduce all --quick --device cuda --out "$logs/papers" &
  else
    echo 'papers: left out, HESSCORE_DATA names no folder'
  fi
else
  echo 'python, agreement: left out, the extension was not built (it needs nanobind >= 3.1)'
fi
for tool in memcheck racecheck synccheck initcheck; do
  for test in device_kernels product_options 'convolutions random' 'convolutions groups' norms \
    'pooling_kernels windows' embedding_kernels structure_kernels; do
    while (($(jobs -rp | wc -l) >= cores)); do wait -n; done
    read -ra words <<< "$test"
    part "$tool-${test// /-}" 60 env HESSCORE_TEST_DEVICE=cuda compute-sanitizer --tool "$tool" \
      --error-exitcode 1 "$build/test_${words[0]}" "${words[@]:1}" &
  done
done
wait

part hesscore 75 "$build/bench_cuda"
part convolutions 40 "$build/bench_conv" --device cuda --samples 128 --seconds 0.02
part cudnn 40 "$python" bench/conv_torch.py --cuda --samples 128 --seconds 0.02
part jax 100 env XLA_PYTHON_CLIENT_PREALLOCATE=false "$python" bench/gpu/gpu_jax.py
part torch 130 "$python" bench/gpu/gpu_torch.py

shopt -s nullglob
failed=("$logs"/*.failed)
failed=("${failed[@]##*/}")
failed=("${failed[@]%.failed}")
"$python" bench/gpu/summary.py "$logs" "$results" "${failed[@]}"
printf '%d parts failed: %s\n' "${#failed[@]}" "${failed[*]:-none}"
exit "${#failed[@]}"
