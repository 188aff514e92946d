// NVIDIA's own run-time compiler, which needs no GPU, for the PTX that it makes of a program.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <dlfcn.h>

namespace nvidia {

struct Source {
    const std::string &text;
    const std::vector<std::pair<std::string, std::string>> &headers;
};

// The PTX, or why there is none.
struct Answer {
    std::string ptx;
    std::string reason;
};

// A library's functions, by name.
class Library {
   public:
    // Its built-in functions, which it looks for where the system does, come first.
    explicit Library(const std::filesystem::path &path) {
        std::error_code ignored;
        for (const auto &entry : std::filesystem::directory_iterator(path.parent_path(), ignored)) {
            const std::string name = entry.path().filename();
            if (name.starts_with("libnvrtc-builtins.so")) dlopen(entry.path().c_str(), RTLD_NOW | RTLD_GLOBAL);
        }
        library_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    }

    bool is_loaded() const { return library_ != nullptr; }

    template <class... Arguments>
    bool call(const char *name, Arguments... arguments) const {
        auto *function = reinterpret_cast<int (*)(Arguments...)>(dlsym(library_, name));
        return function != nullptr && function(arguments...) == 0;
    }

    // What one function measures and another one writes.
    std::string text(const char *size_name, const char *name, void *program) const {
        std::size_t size = 0;
        if (!call(size_name, program, &size)) return "";
        std::string text(size, '\0');
        if (!call(name, program, text.data())) return "";
        text.resize(text.find_last_not_of('\0') + 1);
        return text;
    }

   private:
    void *library_;
};

inline Answer ptx_of(const Source &source, const std::string &path, const std::string &architecture) {
    const Library library(path);
    if (!library.is_loaded()) return {"", std::string("NVIDIA's compiler: ") + dlerror()};
    std::vector<const char *> names, texts;
    for (const auto &[name, text] : source.headers) {
        names.push_back(name.c_str());
        texts.push_back(text.c_str());
    }
    void *program = nullptr;
    if (!library.call("nvrtcCreateProgram", &program, source.text.c_str(), "kernels.cu", static_cast<int>(names.size()), texts.data(), names.data())) {
        return {"", "NVIDIA's compiler makes no program of the kernels"};
    }
    const std::string target = "--gpu-architecture=" + architecture;
    const char *options[] = {"--std=c++17", "--device-int128", target.c_str()};
    Answer answer;
    if (library.call("nvrtcCompileProgram", program, 3, static_cast<const char *const *>(options))) {
        answer.ptx = library.text("nvrtcGetPTXSize", "nvrtcGetPTX", program);
    } else {
        answer.reason = library.text("nvrtcGetProgramLogSize", "nvrtcGetProgramLog", program);
    }
    library.call("nvrtcDestroyProgram", &program);
    return answer;
}

}  // namespace nvidia
