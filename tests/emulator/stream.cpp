// Streams and events: queues of work that is done when somebody waits for it.
#include "stream.hpp"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "memory.hpp"
#include "report.hpp"

namespace emulator {

namespace {

constexpr std::size_t kMostSteps = 4096;

struct Streams {
  std::map<cudaStream_t, std::shared_ptr<CUstream_st>> by_handle;
  std::shared_ptr<CUstream_st> legacy = std::make_shared<CUstream_st>();
  Streams() { by_handle = {{cudaStreamLegacy, legacy}}; }
};

Streams& streams() {
  static Streams* const all = new Streams;
  return *all;
}

// The stream that a thread has for itself; its work is done when the thread ends, at the latest.
struct OwnStream {
  std::shared_ptr<CUstream_st> stream = std::make_shared<CUstream_st>();
  OwnStream() { streams().by_handle.emplace(stream.get(), stream); }
  ~OwnStream() {
    const Lock lock(mutex());
    run_until({stream, stream->issued});
    streams().by_handle.erase(stream.get());
  }
};
thread_local const OwnStream own_stream;

bool eager() {
  static const bool set = std::getenv("HESSCORE_EMULATOR_EAGER") != nullptr;
  return set;
}

bool blocking(const CUstream_st& stream) { return (stream.flags & cudaStreamNonBlocking) == 0; }

void do_step(CUstream_st& stream) {
  const CUstream_st::Step step = std::move(stream.steps.front());
  stream.steps.pop_front();
  for (const Moment& moment : step.after) run_until(moment);
  if (step.work) step.work();
  ++stream.done;
}

// The legacy stream comes after all that blocking streams were given, and they after it.
std::vector<Moment> implied(const std::shared_ptr<CUstream_st>& stream) {
  std::vector<Moment> moments;
  const auto& legacy = streams().legacy;
  if (stream == legacy) {
    for (const auto& [handle, other] : streams().by_handle) {
      if (other != legacy && blocking(*other)) moments.push_back({other, other->issued});
    }
  } else if (blocking(*stream)) {
    moments.push_back({legacy, legacy->issued});
  }
  return moments;
}

// The legacy stream may not be used while a stream that it waits for is captured.
bool spoils_blocking_capture() {
  for (const auto& [handle, stream] : streams().by_handle) {
    if (stream->capture && blocking(*stream)) {
      fail_capture(*stream->capture, cudaErrorStreamCaptureImplicit);
      return true;
    }
  }
  return false;
}

cudaError_t add_to_capture(CUstream_st& stream, Work work) {
  if (stream.capture->failed) return cudaErrorStreamCaptureInvalidated;
  if (stream.capture->thread != std::this_thread::get_id()) {
    die("work of another thread became part of a capture");
  }
  auto node = std::make_shared<CUgraphNode_st>();
  node->after = stream.last;
  node->work = std::move(work);
  stream.last = {node.get()};
  stream.capture->graph->nodes.push_back(std::move(node));
  return cudaSuccess;
}

}  // namespace

std::recursive_mutex& mutex() {
  static auto* const one = new std::recursive_mutex;
  return *one;
}

std::shared_ptr<CUstream_st> find_stream(cudaStream_t stream) {
  if (stream == cudaStreamPerThread) return own_stream.stream;
  const auto found = streams().by_handle.find(stream ? stream : cudaStreamLegacy);
  return found == streams().by_handle.end() ? nullptr : found->second;
}

cudaError_t issue(cudaStream_t handle, Work work, std::vector<Moment> after) {
  const auto stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (stream->capture) return add_to_capture(*stream, std::move(work));
  if (stream == streams().legacy && spoils_blocking_capture()) {
    return cudaErrorStreamCaptureImplicit;
  }
  for (Moment& moment : implied(stream)) after.push_back(std::move(moment));
  stream->steps.push_back({std::move(work), std::move(after)});
  ++stream->issued;
  if (eager() || stream->steps.size() > kMostSteps) run_until({stream, stream->issued});
  return cudaSuccess;
}

void run_until(const Moment& moment) {
  if (!moment.stream || moment.stream->done >= moment.issued) return;
  const Opened opened;
  while (moment.stream->done < moment.issued) do_step(*moment.stream);
}

void run_everything() {
  for (const auto& [handle, stream] : streams().by_handle) run_until({stream, stream->issued});
}

cudaError_t run_stream(cudaStream_t handle) {
  const auto stream = find_stream(handle);
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (stream->capture) {
    fail_capture(*stream->capture, cudaErrorStreamCaptureUnsupported);
    return cudaErrorStreamCaptureUnsupported;
  }
  for (const Moment& other : implied(stream)) run_until(other);
  run_until({stream, stream->issued});
  return cudaSuccess;
}

bool spoils_capture(bool whole_device) {
  bool spoilt = false;
  for (const auto& [handle, stream] : streams().by_handle) {
    if (!stream->capture) continue;
    const bool mine = stream->capture->thread == std::this_thread::get_id();
    const cudaStreamCaptureMode mode = stream->capture->mode;
    const bool minded =
        mode == cudaStreamCaptureModeGlobal || (mine && mode == cudaStreamCaptureModeThreadLocal);
    if (!minded && !whole_device) continue;
    fail_capture(*stream->capture, cudaErrorStreamCaptureUnsupported);
    spoilt = true;
  }
  return spoilt;
}

void fail_capture(Capture& capture, cudaError_t error) {
  if (!capture.failed) capture.failed = error;
}

}  // namespace emulator

using emulator::Lock;
using emulator::noted;

// ---- streams ------------------------------------------------------------------------------------

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Lock lock(emulator::mutex());
  auto made = std::make_shared<CUstream_st>();
  made->flags = flags;
  *stream = made.get();
  emulator::streams().by_handle.emplace(made.get(), made);
  return cudaSuccess;
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, 0); }

cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Lock lock(emulator::mutex());
  const cudaError_t error = emulator::run_stream(stream);
  if (error == cudaSuccess) emulator::streams().by_handle.erase(stream);
  return noted(error);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Lock lock(emulator::mutex());
  return noted(emulator::run_stream(stream));
}

// Not ready until it has been asked as often as there is work to do.
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const Lock lock(emulator::mutex());
  const auto stream = emulator::find_stream(handle);
  if (!stream) return noted(cudaErrorInvalidResourceHandle);
  if (stream->capture) return noted(emulator::run_stream(handle));
  if (stream->steps.empty()) return cudaSuccess;
  emulator::run_until({stream, stream->done + 1});
  return cudaErrorNotReady;
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  const Lock lock(emulator::mutex());
  const auto stream = emulator::find_stream(handle);
  if (!stream) return noted(cudaErrorInvalidResourceHandle);
  *flags = stream->flags;
  return cudaSuccess;
}

cudaError_t cudaStreamGetDevice(cudaStream_t, int* device) {
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  const Lock lock(emulator::mutex());
  if (emulator::spoils_capture(true)) return noted(cudaErrorStreamCaptureUnsupported);
  emulator::run_everything();
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  const Lock lock(emulator::mutex());
  return noted(emulator::issue(stream, [=] { function(data); }));
}

// ---- events -------------------------------------------------------------------------------------

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  *event = new CUevent_st;
  return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Lock lock(emulator::mutex());
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const Lock lock(emulator::mutex());
  const auto stream = emulator::find_stream(handle);
  if (!stream) return noted(cudaErrorInvalidResourceHandle);
  event->capture = stream->capture;
  event->nodes = stream->last;
  if (stream->capture) return cudaSuccess;
  const cudaError_t error = emulator::issue(handle, nullptr);  // waits as the stream would
  event->moment = {stream, stream->issued};
  return noted(error);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const Lock lock(emulator::mutex());
  const auto stream = emulator::find_stream(handle);
  if (!stream) return noted(cudaErrorInvalidResourceHandle);
  if (!event->capture && !stream->capture) {
    return noted(emulator::issue(handle, nullptr, {event->moment}));
  }
  if (!event->capture) {
    emulator::fail_capture(*stream->capture, cudaErrorStreamCaptureInvalidated);
    return noted(cudaErrorStreamCaptureInvalidated);  // work outside the capture
  }
  if (stream->capture && stream->capture != event->capture) {
    emulator::fail_capture(*stream->capture, cudaErrorStreamCaptureMerge);
    return noted(cudaErrorStreamCaptureMerge);
  }
  if (!stream->capture) {  // joins
    stream->capture = event->capture;
    stream->capture->streams.push_back(stream.get());
  }
  stream->last.insert(stream->last.end(), event->nodes.begin(), event->nodes.end());
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Lock lock(emulator::mutex());
  if (event->capture) return noted(cudaErrorCapturedEvent);
  const emulator::Moment moment = event->moment;
  if (!moment.stream || moment.stream->done >= moment.issued) return cudaSuccess;
  emulator::run_until({moment.stream, moment.stream->done + 1});
  return cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Lock lock(emulator::mutex());
  if (event->capture) return noted(cudaErrorCapturedEvent);
  emulator::run_until(event->moment);
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t, cudaEvent_t) {
  *milliseconds = 0;  // there is no time here
  return cudaSuccess;
}
