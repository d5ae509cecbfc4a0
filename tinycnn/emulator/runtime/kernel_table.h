// What Python is told of the kernels in a built file: for each its name, a function that calls it, and its parameters
// as the compiler deduced them, so that an argument of the wrong type is an error and not a misread number.
#pragma once

namespace cudasim {

struct Parameter {
    const char* type;  // "float", "int", ...; of a pointer, what it points to; "struct" for what has no name here
    int size;          // bytes of that type; 0 for void
    int pointer;       // 1 for a pointer
    int constant;      // 1 for a pointer to const
    int passed;        // bytes of the argument itself
};

struct Kernel {
    const char* name;
    void (*call)(void** arguments);  // the address of each argument, as cuLaunchKernel takes them
    const Parameter* parameters;
    int count;
};

template <typename T> struct TypeName { static constexpr const char* value = "struct"; };
#define CUDASIM_NAME(T) template <> struct TypeName<T> { static constexpr const char* value = #T; };
CUDASIM_NAME(void) CUDASIM_NAME(bool) CUDASIM_NAME(char) CUDASIM_NAME(signed char) CUDASIM_NAME(unsigned char)
CUDASIM_NAME(short) CUDASIM_NAME(unsigned short) CUDASIM_NAME(int) CUDASIM_NAME(unsigned) CUDASIM_NAME(long)
CUDASIM_NAME(unsigned long) CUDASIM_NAME(long long) CUDASIM_NAME(unsigned long long) CUDASIM_NAME(float)
CUDASIM_NAME(double) CUDASIM_NAME(float2) CUDASIM_NAME(float3) CUDASIM_NAME(float4) CUDASIM_NAME(int2)
CUDASIM_NAME(int3) CUDASIM_NAME(int4) CUDASIM_NAME(uint2) CUDASIM_NAME(uint3) CUDASIM_NAME(uint4)
CUDASIM_NAME(double2) CUDASIM_NAME(uchar4)
#undef CUDASIM_NAME
template <typename T> struct TypeName<T*> { static constexpr const char* value = "pointer"; };

template <typename T> struct SizeOf { static constexpr int value = sizeof(T); };
template <> struct SizeOf<void> { static constexpr int value = 0; };

template <typename T> struct Describe {
    static constexpr Parameter value = {TypeName<T>::value, sizeof(T), 0, 0, sizeof(T)};
};
template <typename T> struct Describe<T*> {
    static constexpr Parameter value = {TypeName<T>::value, SizeOf<T>::value, 1, 0, sizeof(T*)};
};
template <typename T> struct Describe<const T*> {
    static constexpr Parameter value = {TypeName<T>::value, SizeOf<T>::value, 1, 1, sizeof(T*)};
};

template <auto F> struct Thunk;  // "incomplete type Thunk" below means: that name is no kernel (no void function)
template <typename... P, void (*F)(P...)> struct Thunk<F> {
    static constexpr Parameter parameters[sizeof...(P) + 1] = {Describe<P>::value..., {}};
    template <size_t... I>
    CUDASIM_UNHOOKED static void unpack(void** arguments, std::index_sequence<I...>) {
        F(*static_cast<P*>(arguments[I])...);
    }
    CUDASIM_UNHOOKED static void call(void** arguments) {
        unpack(arguments, std::index_sequence_for<P...>());
    }
    static constexpr Kernel describe(const char* name) { return {name, call, parameters, (int)sizeof...(P)}; }
};

}  // namespace cudasim
