# Both commands of the README on a clean system:
#   docker build -t spectral-clipping . && docker run --rm spectral-clipping make test && docker run --rm -it spectral-clipping make all
FROM swift:6.1-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends \
    make git curl ca-certificates pkg-config libopenblas-dev liblapacke-dev libhdf5-dev libssl-dev gnuplot-nox \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /suite
COPY . .
RUN swift build -c release -Xcc -march=native
CMD ["make", "all"]
