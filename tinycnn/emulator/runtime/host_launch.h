// Launches as host code writes them (syntax.py makes calls of them): the arguments become a row of addresses, by which
// host_launches.cpp calls the kernel.
#pragma once
#include <type_traits>

#include "host_types.h"
#include "kernel_table.h"

namespace cudasim {

struct Call {           // a launch, as host_launches.cpp takes it
    const char* name;   // as it stands in the source
    dim3 grid, block;
    size_t shared;
    Site site;
    bool cooperative;
    void (*run)(void** arguments);
    void** arguments;               // arguments[0] leads to the function itself
    const Parameter* parameters;    // null where the types are not known
    int count;
    uintptr_t begin, end;           // where the arguments lie: memory of the host that a kernel may read
    cudaStream_t stream;
    const void* function;           // null where the compiler chose it by the arguments
};
cudaError_t launch(const Call& call);

template <typename... P> struct Pointed {  // calls a kernel through its address, which is the first argument
    template <size_t... I> CUDASIM_UNHOOKED static void unpack(void** arguments, std::index_sequence<I...>) {
        (*static_cast<void (**)(P...)>(arguments[0]))(*static_cast<std::remove_reference_t<P>*>(arguments[I + 1])...);
    }
    CUDASIM_UNHOOKED static void call(void** arguments) { unpack(arguments, std::index_sequence_for<P...>()); }
    static constexpr Parameter parameters[sizeof...(P) + 1] = {Describe<std::remove_cv_t<P>>::value..., {}};
};

struct Null {  // NULL or 0, which came as an integer, for a parameter that is a pointer
    long value;
    template <typename T> CUDASIM_UNHOOKED operator T*() const { return nullptr; }
    template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>> CUDASIM_UNHOOKED operator T() const {
        return (T)value;
    }
};
template <typename A> using MaybeNull = std::conditional_t<std::is_same_v<A, int> || std::is_same_v<A, long>, Null, A>;

template <typename F> struct Braced {  // {1, 2}, whose type is that of the parameter that it is for
    F value;
    template <typename T> CUDASIM_UNHOOKED operator T() const { return value((T*)nullptr); }
};
template <typename F> Braced<F> braced(F value) { return {value}; }

template <typename F, typename... A> struct Deduced {  // calls what the compiler chooses for these arguments
    template <size_t... I> CUDASIM_UNHOOKED static void unpack(void** arguments, std::index_sequence<I...>) {
        F& kernel = *static_cast<F*>(arguments[0]);
        if constexpr (std::is_invocable_v<F&, A&...>) kernel(*static_cast<A*>(arguments[I + 1])...);
        else with_null(kernel, MaybeNull<A>{*static_cast<A*>(arguments[I + 1])}...);
    }
    template <typename... B> CUDASIM_UNHOOKED static void with_null(F& kernel, B... given) { kernel(given...); }
    CUDASIM_UNHOOKED static void call(void** arguments) { unpack(arguments, std::index_sequence_for<A...>()); }
    static constexpr Parameter parameters[sizeof...(A) + 1] = {Describe<A>::value..., {}};
};

// The arguments of a launch in a row, and where each stands; the first address is the function's own.
template <typename Indices, typename... T> struct PassedBy;
template <size_t... I, typename... T> struct PassedBy<std::index_sequence<I...>, T...> {
    template <size_t, typename U> struct At { U value; };
    struct All : At<I, T>... {
        All(T&... a) : At<I, T>{a}... {}
    };
    All all;
    void* addresses[sizeof...(T) + 1];
    PassedBy(void* function, T&... a) : all(a...), addresses{function} {
        ((addresses[I + 1] = &static_cast<At<I, T>&>(all).value), ...);
    }
};
template <typename... T> using Passed = PassedBy<std::index_sequence_for<T...>, T...>;

struct Launcher {
    Call call;
    Launcher(const char* name, dim3 grid, dim3 block, size_t shared = 0, cudaStream_t stream = nullptr, CUDASIM_HERE)
        : call{name, grid, block, shared, site, false, nullptr, nullptr, nullptr, 0, 0, 0, stream, nullptr} {}
    template <typename All> void run(All& all, void (*thunk)(void**), const Parameter* parameters, int count) {
        all.row.addresses[0] = &all.kernel;
        call.run = thunk;
        call.arguments = all.row.addresses;
        call.parameters = parameters;
        call.count = count;
        call.begin = (uintptr_t)&all;
        call.end = call.begin + sizeof all;
        launch(call);
    }
    // The arguments by value, as a kernel takes them: a brace, a bit-field or a static const member is none to refer to.
    template <typename... P> void operator()(void (*kernel)(P...), undeduced<P>... a) {
        struct {
            Passed<std::remove_cv_t<P>...> row;
            void (*kernel)(P...);
        } all{{nullptr, a...}, kernel};
        call.function = (const void*)kernel;
        run(all, Pointed<P...>::call, Pointed<P...>::parameters, sizeof...(P));
    }
    template <typename F, typename... A> void deduced(F kernel, A... a) {
        struct {
            Passed<A...> row;
            F kernel;
        } all{{nullptr, a...}, kernel};
        run(all, Deduced<F, A...>::call, Deduced<F, A...>::parameters, sizeof...(A));
    }
};

// Kernels whose address was taken as void*: how to call them.
struct Known {
    const void* function;
    void (*run)(void** arguments);
    const Parameter* parameters;
    int count;
};
void remember(const Known& kernel);
const Known* known_kernel(const void* function);
template <typename... P> void* address_of(void (*kernel)(P...)) {
    remember({(const void*)kernel, Pointed<P...>::call, Pointed<P...>::parameters, (int)sizeof...(P)});
    return (void*)kernel;
}
cudaError_t launch_known(const void* function, dim3 grid, dim3 block, void** arguments, size_t shared,
                         bool cooperative, cudaStream_t stream, Site site);

}  // namespace cudasim
#define CUDASIM_UNHOOKED_CALL CUDASIM_UNHOOKED
#define CUDASIM_BRACED(...) \
    ::cudasim::braced([=](auto* to) CUDASIM_UNHOOKED -> std::remove_pointer_t<decltype(to)> { return __VA_ARGS__; })
