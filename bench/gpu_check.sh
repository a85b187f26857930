#!/usr/bin/env bash
# Everything that only a machine with an NVIDIA GPU can tell, in one command of at most 8 minutes:
#   bench/gpu_check.sh [DIRECTORY FOR THE RESULTS, bench/results if left out]
# Builds here, without network, with the python3 that is installed. Runs the probes, the kernel and
# engine tests on the GPU, compute-sanitizer, the Python tests, and the timings side by side with
# PyTorch and JAX. One part that fails does not stop the others; the exit code counts the failures.
set -uo pipefail
cd "$(dirname "$0")/.."
results=$(realpath -m "${1:-bench/results}")
python=${PYTHON:-python3}
build=${HESSCORE_GPU_BUILD:-build/gpu}
logs=$build/logs
rm -rf "$logs"
mkdir -p "$logs" "$results"
cores=$(nproc)
failed=()

# part NAME SECONDS COMMAND...: its output goes to the logs, its last lines are shown if it fails.
part() {
  local name=$1 limit=$2 start=$SECONDS
  shift 2
  printf '=== %s\n' "$name"
  if timeout "$limit" "$@" > "$logs/$name.log" 2>&1; then
    printf '    passed in %d s\n' $((SECONDS - start))
  else
    printf '    FAILED (exit code %d) after %d s\n' $? $((SECONDS - start))
    tail -n 25 "$logs/$name.log"
    failed+=("$name")
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

export HESSCORE_CUDA_PLUGIN=$PWD/$build/libhesscore_cuda.so HESSCORE_TEST_CUDA=real
part probes 40 "$build/gpu_probes"
part tests 120 ctest --test-dir "$build" -j "$((cores / 2))" --output-on-failure --timeout 100
for tool in memcheck racecheck synccheck initcheck; do
  HESSCORE_TEST_SMALL=1 part "sanitizer-$tool" 60 compute-sanitizer --tool "$tool" \
    --error-exitcode 1 --kernel-name-exclude kernel_substring=cutlass "$build/test_kernels" &
done
wait
if [ -d "$build/pkg/hesscore" ] && PYTHONPATH=$build/pkg "$python" -c 'import hesscore'; then
  PYTHONPATH=$build/pkg part python 90 "$python" -m pytest -q -x tests/python/test_cuda.py
else
  echo '=== python: left out, the extension was not built (it needs nanobind >= 3.1)'
fi
part hesscore 80 "$build/bench_cuda"
part jax 80 env XLA_PYTHON_CLIENT_PREALLOCATE=false "$python" bench/gpu/gpu_jax.py
part torch 110 "$python" bench/gpu/gpu_torch.py

"$python" bench/gpu/summary.py "$logs" "$results" "${failed[@]:-}"
printf '%d parts failed: %s\n' "${#failed[@]}" "${failed[*]:-none}"
exit "${#failed[@]}"
