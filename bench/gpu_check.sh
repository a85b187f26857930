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
export HESSCORE_TEST_CUDA=real

# part NAME SECONDS COMMAND...: its output goes to the logs, its last lines are shown if it fails.
# What there is no time for any more counts as failed, too.
part() {
  local name=$1 limit=$2 start=$SECONDS left=$((470 - SECONDS))
  shift 2
  printf '=== %s\n' "$name"
  if ((left < limit)); then limit=$((left > 1 ? left : 1)); fi
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

export HESSCORE_CUDA_PLUGIN=$PWD/$build/libhesscore_cuda.so
part probes 40 "$build/gpu_probes"
part tests 120 ctest --test-dir "$build" -j "$((cores / 2))" --output-on-failure --timeout 100
part hesscore 60 "$build/bench_cuda"
part jax 60 env XLA_PYTHON_CLIENT_PREALLOCATE=false "$python" bench/gpu/gpu_jax.py
part torch 90 "$python" bench/gpu/gpu_torch.py
if PYTHONPATH=$build/pkg "$python" -c 'import hesscore'; then
  PYTHONPATH=$build/pkg part python 60 "$python" -m pytest -q -x tests/python/test_cuda.py
else
  echo '=== python: left out, the extension was not built (it needs nanobind >= 3.1)'
fi
for program in device_kernels product_options; do
  for tool in memcheck racecheck synccheck initcheck; do
    part "$tool-$program" 40 env HESSCORE_TEST_DEVICE=cuda compute-sanitizer --tool "$tool" \
      --error-exitcode 1 "$build/test_$program"
  done
done

"$python" bench/gpu/summary.py "$logs" "$results" "${failed[@]:-}"
printf '%d parts failed: %s\n' "${#failed[@]}" "${failed[*]:-none}"
exit "${#failed[@]}"
