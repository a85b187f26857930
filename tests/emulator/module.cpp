// Reads the symbol table of an ELF file.
#include "module.hpp"

#include <cxxabi.h>
#include <dlfcn.h>
#include <elf.h>
#include <link.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "report.hpp"
#include "threads.hpp"

namespace emulator {

namespace {

std::string demangled(const char* symbol) {
  int status = 0;
  char* const text = abi::__cxa_demangle(symbol, nullptr, nullptr, &status);
  std::string name = status == 0 ? text : symbol;
  std::free(text);
  return name;
}

// The calling thread's copy of the thread-local variables of the module loaded at `base`.
char* thread_storage(const char* base) {
  struct Search {
    const char* base;
    char* found;
  } search{base, nullptr};
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* data) {
        auto& wanted = *static_cast<Search*>(data);
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const ElfW(Phdr) & segment = info->dlpi_phdr[i];
          if (segment.p_type != PT_LOAD || segment.p_offset != 0) continue;
          if (reinterpret_cast<const char*>(info->dlpi_addr + segment.p_vaddr) != wanted.base)
            break;
          wanted.found = static_cast<char*>(info->dlpi_tls_data);
          return 1;
        }
        return 0;
      },
      &search);
  return search.found;
}

}  // namespace

Module& Module::of(const void* address) {
  static auto* const modules = new std::map<void*, Module>;
  Dl_info info{};
  if (dladdr(address, &info) == 0) die("a kernel that lies in no library");
  const auto found = modules->find(info.dli_fbase);
  if (found != modules->end()) return found->second;
  const char* const program = std::strchr(info.dli_fname, '/') ? info.dli_fname : "/proc/self/exe";
  Module module(program, static_cast<char*>(info.dli_fbase));
  return modules->emplace(info.dli_fbase, std::move(module)).first->second;
}

Module::Module(const char* file, char* base) : base_(base) { read(file); }

void Module::read(const char* file) {
  std::ifstream stream(file, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(stream), {});
  if (bytes.size() < sizeof(ElfW(Ehdr))) die("cannot read %s", file);
  const auto& header = *reinterpret_cast<const ElfW(Ehdr)*>(bytes.data());
  const auto* const sections = reinterpret_cast<const ElfW(Shdr)*>(bytes.data() + header.e_shoff);
  for (int s = 0; s < header.e_shnum; ++s) {
    if (sections[s].sh_type != SHT_SYMTAB) continue;
    const char* const names = bytes.data() + sections[sections[s].sh_link].sh_offset;
    const auto* const first =
        reinterpret_cast<const ElfW(Sym)*>(bytes.data() + sections[s].sh_offset);
    const std::size_t count = sections[s].sh_size / sizeof(ElfW(Sym));
    for (const ElfW(Sym)* symbol = first; symbol != first + count; ++symbol) {
      const char* const name = names + symbol->st_name;
      const int type = ELF64_ST_TYPE(symbol->st_info);
      if (symbol->st_shndx == SHN_UNDEF) continue;
      if (type == STT_FUNC) functions_.emplace(symbol->st_value, name);
      // _ZZ: a variable inside of a function
      if (type == STT_TLS && std::strncmp(name, "_ZZ", 3) == 0) {
        shared_.emplace_back(symbol->st_value, symbol->st_size);
      }
    }
  }
  for (auto& [offset, name] : functions_) {
    if (name.find("kernel") != std::string::npos) name = demangled(name.c_str());
  }
}

const std::string& Module::name(const void* function) {
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(function) - base_);
  const auto [found, fresh] = functions_.try_emplace(offset, "a kernel without a name");
  return found->second;
}

void Module::poison_shared() const {
  char* const storage = thread_storage(base_);
  if (storage == nullptr) return;  // this thread has used none of it yet
  for (const auto& [offset, bytes] : shared_) poison(storage + offset, bytes);
}

}  // namespace emulator
