# A quick look at Engram without installing LibTorch or Go, on Debian 12 for the CPU:
#
#	docker build -t engram .
#	docker run --rm engram predict --run models/quickstart-protonet --support examples/letters/support --query examples/letters/query
#	docker run --rm -v "$PWD/runs:/engram/runs" --user "$(id -u):$(id -g)" engram run experiments/quickstart-protonet.yaml
#
# The image holds the experiment files, the small trained models and the letters example below /engram, which is where commands
# begin. Results go to /engram/runs.

FROM golang:1.26-bookworm AS build
SHELL ["/bin/bash", "-eu", "-o", "pipefail", "-c"]
# hadolint ignore=DL3008 # Debian replaces versions by security updates
RUN apt-get update \
	&& apt-get install -y --no-install-recommends g++ libtorch-dev libopenblas0-pthread \
	&& rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# LibTorch's bindings are C++: a few minutes. The commit is recorded where the context holds .git.
RUN . libtorch/env.sh && go build -buildvcs=auto -o /usr/local/bin/engram ./cmd/engram

FROM debian:12-slim
# hadolint ignore=DL3008 # as above
RUN apt-get update \
	&& apt-get install -y --no-install-recommends ca-certificates libgomp1 libopenblas0-pthread libtorch1.13 \
	&& rm -rf /var/lib/apt/lists/* \
	&& useradd --create-home --uid 1000 engram \
	&& install -d -o engram -g engram -m 0777 /engram/runs
COPY --from=build /usr/local/bin/engram /usr/local/bin/engram
WORKDIR /engram
COPY LICENSE README.md ./
COPY experiments/*.yaml experiments/experiment.schema.json experiments/
COPY models models
COPY examples/letters examples/letters
# Data sets lie in a volume (engram data fetch omniglot --out data/omniglot); the cache is writable for any user.
ENV ENGRAM_DATA=/engram/data XDG_CACHE_HOME=/tmp/cache
USER 1000:1000
ENTRYPOINT ["engram"]
CMD ["--help"]
