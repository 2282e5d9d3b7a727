# A model server for tests and demonstrations, for those who build with Docker. Build it from the top of the source tree.
FROM golang:1.26 AS build
ARG VERSION=v0.1.0-dev
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/model ./cluster/model

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/model /model
USER 65532:65532
ENTRYPOINT ["/model"]
