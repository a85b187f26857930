// Where arrays live: in host memory, or on a CUDA device, where new arrays are CuPy's. CuPy is
// imported when the first array of such a device arrives.
#pragma once

#include <nanobind/nanobind.h>

#include <functional>
#include <string>

#include "hesscore/device.hpp"

namespace hesscore::python {

namespace nb = nanobind;

struct Place {
  Device* device = nullptr;
  int index = -1;          // of the CUDA device; -1: host memory
  void* stream = nullptr;  // CuPy's current one, when the place was made

  bool is_host() const { return index < 0; }
};

const Place& host();
Place cuda(int index);      // throws DeviceError, with the reason as its message
Place place_at(int index);  // either
int index_of(const Device& device);

std::string place_text(int index);  // "in host memory", "on cuda:1"

// What hesscore uses of CuPy.
struct Cupy {
  nb::object ndarray, empty, zeros, asarray, ascontiguousarray, from_dlpack;
  nb::object alloc, device, current_stream;
};
const Cupy& cupy();

// The device that CuPy works on, for its lifetime.
class OnDevice {
 public:
  explicit OnDevice(int index) : device_(cupy().device(index)) { device_.attr("__enter__")(); }
  ~OnDevice();
  OnDevice(const OnDevice&) = delete;

 private:
  nb::object device_;
};

// Runs `body`, which calls the engine, without the GIL and on the place's stream.
void work(const Place& place, const std::function<void()>& body);

// Between arrays of one place.
void copy(const Place& place, void* to, const void* from, std::size_t bytes);

}  // namespace hesscore::python
