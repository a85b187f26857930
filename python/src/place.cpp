// Places: streams and memory shared with CuPy.
#include "place.hpp"

#include <nanobind/stl/string.h>

#include <charconv>
#include <cstring>
#include <map>

namespace hesscore::python {
namespace {

const Cupy* load_cupy() {
  const nb::module_ module = nb::module_::import_("cupy");
  const nb::object cuda = module.attr("cuda");
  return new Cupy{.ndarray = module.attr("ndarray"),
                  .empty = module.attr("empty"),
                  .zeros = module.attr("zeros"),
                  .asarray = module.attr("asarray"),
                  .ascontiguousarray = module.attr("ascontiguousarray"),
                  .from_dlpack = module.attr("from_dlpack"),
                  .alloc = cuda.attr("alloc"),
                  .device = cuda.attr("Device"),
                  .current_stream = cuda.attr("get_current_stream")};
}

// Memory of CuPy's pool that the engine holds. Never destroyed: the engine may outlive Python.
std::map<void*, nb::object>& borrowed() {
  static auto* const blocks = new std::map<void*, nb::object>;
  return *blocks;
}

void* borrow(int index, std::size_t bytes) {
  const nb::gil_scoped_acquire acquire;
  try {
    const OnDevice on(index);
    nb::object block = cupy().alloc(bytes);
    auto* const p = reinterpret_cast<void*>(nb::cast<std::uintptr_t>(block.attr("ptr")));
    borrowed()[p] = std::move(block);
    return p;
  } catch (nb::python_error& error) {
    if (error.matches(PyExc_MemoryError)) return nullptr;  // CuPy's own error is one
    throw;
  }
}

void give_back(void* p) {
  if (!nb::is_alive()) return;
  const nb::gil_scoped_acquire acquire;
  borrowed().erase(p);
}

Device& engine_device(int index) {
  static std::map<int, Device*> known;
  Device*& found = known[index];
  if (found == nullptr) {
    Device& opened = device("cuda:" + std::to_string(index));
    cupy();
    opened.set_allocator([index](std::size_t bytes) { return borrow(index, bytes); }, &give_back);
    found = &opened;
  }
  return *found;
}

}  // namespace

// Not in a static's initialiser: while a thread imports, others may run, and would wait for it with
// the GIL in their hands.
const Cupy& cupy() {
  static const Cupy* loaded = nullptr;
  if (loaded != nullptr) return *loaded;
  try {
    loaded = load_cupy();
  } catch (nb::python_error& error) {
    throw DeviceError("results there are arrays of CuPy, which cannot be imported (" +
                      nb::cast<std::string>(nb::str(error.value())) +
                      "); install it with: pip install \"hesscore[cuda]\"");
  }
  return *loaded;
}

OnDevice::~OnDevice() {
  try {
    device_.attr("__exit__")(nb::none(), nb::none(), nb::none());
  } catch (nb::python_error& error) {
    error.discard_as_unraisable("hesscore: choosing a CUDA device");
  }
}

const Place& host() {
  static const Place place{.device = &device("cpu")};
  return place;
}

Place cuda(int index) {
  Device& opened = engine_device(index);
  const nb::object stream = cupy().current_stream(index);
  const auto pointer = nb::cast<std::uintptr_t>(stream.attr("ptr"));
  return {.device = &opened, .index = index, .stream = reinterpret_cast<void*>(pointer)};
}

Place place_at(int index) { return index < 0 ? host() : cuda(index); }

int index_of(const Device& device) {
  const std::string name = device.name();
  int index = -1;
  const std::size_t colon = name.find(':');
  if (colon != name.npos) std::from_chars(&name[colon] + 1, name.data() + name.size(), index);
  return index;
}

std::string place_text(int index) {
  return index < 0 ? "in host memory" : "on cuda:" + std::to_string(index);
}

void work(const Place& place, const std::function<void()>& body) {
  const nb::gil_scoped_release release;
  const StreamScope scope(*place.device, place.stream);
  body();
}

void copy(const Place& place, void* to, const void* from, std::size_t bytes) {
  if (bytes == 0) return;
  if (place.is_host()) {
    std::memcpy(to, from, bytes);
  } else {
    work(place, [&] { place.device->copy(to, from, bytes); });
  }
}

}  // namespace hesscore::python
