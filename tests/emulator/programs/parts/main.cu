#include "scale.cuh"

int main(int argc, char** argv) {
    float host[3] = {1, 2, 3};
    scale_all(host, 3, OFFSET);
    printf("%g %g %g\n", host[0], host[1], host[2]);
}
