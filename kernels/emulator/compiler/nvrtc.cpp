// The run-time compiler for machines without a GPU: libnvrtc.so, which compiles programs with the host's C++ compiler.
//
// It takes the sources, names and options that NVIDIA's takes. Its machine code is a shared library for the host, which
// the emulated driver loads as a module. Where CUDA_EMULATOR_NVRTC names NVIDIA's own library, that compiles the sources to PTX first, of which the
// host's compiler gets a translation.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

#include "../image.hpp"
#include "nvidia.hpp"

#ifndef EMULATOR_FOLDER
#error "EMULATOR_FOLDER names the folder kernels/emulator"
#endif

namespace {

enum Result : int {
    SUCCESS = 0,
    PROGRAM_CREATION_FAILURE = 2,
    INVALID_INPUT = 3,
    INVALID_PROGRAM = 4,
    INVALID_OPTION = 5,
    COMPILATION = 6,
    INTERNAL_ERROR = 11,
};

struct Program {
    std::string text;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string log;
    std::string code;
};

std::string variable(const char *name, const char *otherwise) {
    const char *value = std::getenv(name);
    return value != nullptr ? value : otherwise;
}

std::string contents(const std::filesystem::path &path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

// A folder for one compilation.
class Folder {
   public:
    Folder() {
        std::string name = std::filesystem::temp_directory_path() / "cuda-emulator-XXXXXX";
        if (mkdtemp(name.data()) != nullptr) path_ = name;
    }
    Folder(const Folder &) = delete;
    Folder &operator=(const Folder &) = delete;
    ~Folder() {
        std::error_code ignored;
        if (exists()) std::filesystem::remove_all(path_, ignored);
    }

    bool exists() const { return !path_.empty(); }
    std::filesystem::path file(const std::string &name) const { return path_ / name; }
    void write(const std::string &name, const std::string &text) const { std::ofstream(file(name)) << text; }

   private:
    std::filesystem::path path_;
};

// Runs a command, without the libraries that a sanitizer has this process load first.
int run(const std::string &command) {
    const std::string preloaded = variable("LD_PRELOAD", "");
    unsetenv("LD_PRELOAD");
    const int status = std::system(command.c_str());
    if (!preloaded.empty()) setenv("LD_PRELOAD", preloaded.c_str(), 1);
    return status;
}

// The kernels that a source defines, as entries of the image's table.
std::string table_entries(const std::string &source) {
    static const std::regex definition(
        R"re(extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\(([^,)]*)[^)]*\)\s*)?(\w+)\s*\()re");
    std::string entries;
    for (std::sregex_iterator found(source.begin(), source.end(), definition), end; found != end; ++found) {
        const std::string bound = (*found)[1];
        entries += "    KERNEL(" + (*found)[2].str() + (bound.empty() ? "" : ", " + bound) + "),\n";
    }
    return entries;
}

std::string image_of(const std::string &entries) {
    const std::string folder = EMULATOR_FOLDER;
    return "#include \"" + folder + "/cuda.hpp\"\n#include \"kernels.cu\"\n#include \"" + folder + "/launch.hpp\"\n" +
           "#include \"" + folder + "/image.hpp\"\n" +
           "namespace {\nconstexpr emulator::Kernel KERNELS[] = {\n" + entries + "};\n}\n" +
           "extern \"C\" __attribute__((visibility(\"default"
           "\"))) const emulator::Image emulator_image = {KERNELS, std::size(KERNELS),\n"
           "    [](const emulator::Launch &launch) { return emulator::run(KERNELS, launch); }};\n";
}

// Options that a program may be compiled with: those of the project.
bool is_known(const std::string &option) {
    static const std::set<std::string> known = {"--std=c++17", "--device-int128",
                                                "--gpu-architecture=" EMULATOR_ARCHITECTURE};
    return known.contains(option);
}

// The kernels as they are written. Answers the entries of their table.
std::string write_sources(const Program &program, const Folder &folder) {
    for (const auto &[name, text] : program.headers) folder.write(name, text);
    folder.write("kernels.cu", program.text);
    std::string entries = table_entries(program.text);
    for (const auto &[name, text] : program.headers) entries += table_entries(text);
    return entries;
}

// The kernels as NVIDIA's compiler makes them. Answers the entries of their table, or none and the reason in the log.
std::string write_translation(Program &program, const Folder &folder, const std::string &library) {
    const std::string architecture = variable("CUDA_EMULATOR_PTX", "compute_80");
    const nvidia::Answer answer = nvidia::ptx_of({program.text, program.headers}, library, architecture);
    program.log = answer.reason;
    if (answer.ptx.empty()) return "";
    folder.write("kernels.ptx", answer.ptx);
    const std::string command = "python3 '" EMULATOR_FOLDER "/compiler/ptx.py' '" + folder.file("kernels.ptx").string() + "' > '" +
                                folder.file("kernels.cu").string() + "' 2> '" + folder.file("log").string() + "'";
    const int status = run(command);
    program.log = contents(folder.file("log"));
    return status == 0 ? table_entries(contents(folder.file("kernels.cu"))) : "";
}

Result compile(Program &program) {
    const Folder folder;
    if (!folder.exists()) return INTERNAL_ERROR;
    // Set to nothing it names no library, and is no wish for the sources.
    const char *nvidia = std::getenv("CUDA_EMULATOR_NVRTC");
    const std::string entries =
        nvidia == nullptr ? write_sources(program, folder) : write_translation(program, folder, nvidia);
    if (entries.empty()) return COMPILATION;
    folder.write("image.cpp", image_of(entries));
    // A sanitizer, say.
    const std::string more = variable("CUDA_EMULATOR_CXXFLAGS", "");
    const std::string command = variable("CXX", "c++") +
                                " -std=c++20 -O2 -g1 -fPIC -mtls-dialect=gnu2 -fvisibility=hidden -shared"
                                " -fno-strict-aliasing -Wno-unknown-pragmas " + more + " -o '" + folder.file("image.so").string() + "' '" +
                                folder.file("image.cpp").string() + "' 2> '" + folder.file("log").string() + "'";
    const int status = run(command);
    program.log = contents(folder.file("log"));
    if (status != 0) return COMPILATION;
    program.code = contents(folder.file("image.so"));
    return SUCCESS;
}

}  // namespace

#define ENTRY extern "C" __attribute__((visibility("default")))

ENTRY Result nvrtcVersion(int *major, int *minor) {
    *major = 13;
    *minor = 0;
    return SUCCESS;
}

ENTRY const char *nvrtcGetErrorString(Result result) {
    switch (result) {
        case SUCCESS: return "NVRTC_SUCCESS";
        case PROGRAM_CREATION_FAILURE: return "NVRTC_ERROR_PROGRAM_CREATION_FAILURE";
        case INVALID_INPUT: return "NVRTC_ERROR_INVALID_INPUT";
        case INVALID_PROGRAM: return "NVRTC_ERROR_INVALID_PROGRAM";
        case INVALID_OPTION: return "NVRTC_ERROR_INVALID_OPTION";
        case COMPILATION: return "NVRTC_ERROR_COMPILATION";
        default: return "NVRTC_ERROR_INTERNAL_ERROR";
    }
}

ENTRY Result nvrtcCreateProgram(Program **program, const char *source, const char *, int count,
                                const char *const *headers, const char *const *names) {
    if (program == nullptr || source == nullptr || count < 0) return INVALID_INPUT;
    *program = new Program{source, {}, {}, {}};
    for (int i = 0; i < count; i++) (*program)->headers.emplace_back(names[i], headers[i]);
    return SUCCESS;
}

ENTRY Result nvrtcDestroyProgram(Program **program) {
    if (program == nullptr || *program == nullptr) return INVALID_PROGRAM;
    delete *program;
    *program = nullptr;
    return SUCCESS;
}

ENTRY Result nvrtcCompileProgram(Program *program, int count, const char *const *options) {
    if (program == nullptr) return INVALID_PROGRAM;
    for (int i = 0; i < count; i++) {
        if (is_known(options[i])) continue;
        program->log = std::string("the emulated compiler does not know the option ") + options[i];
        return INVALID_OPTION;
    }
    return compile(*program);
}

ENTRY Result nvrtcGetProgramLogSize(Program *program, std::size_t *size) {
    if (program == nullptr) return INVALID_PROGRAM;
    *size = program->log.size() + 1;
    return SUCCESS;
}

ENTRY Result nvrtcGetProgramLog(Program *program, char *log) {
    if (program == nullptr) return INVALID_PROGRAM;
    std::memcpy(log, program->log.c_str(), program->log.size() + 1);
    return SUCCESS;
}

ENTRY Result nvrtcGetCUBINSize(Program *program, std::size_t *size) {
    if (program == nullptr || program->code.empty()) return INVALID_PROGRAM;
    *size = program->code.size();
    return SUCCESS;
}

ENTRY Result nvrtcGetCUBIN(Program *program, char *code) {
    if (program == nullptr || program->code.empty()) return INVALID_PROGRAM;
    std::memcpy(code, program->code.data(), program->code.size());
    return SUCCESS;
}
