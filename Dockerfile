# syntax=docker/dockerfile:1

# The image of last-logout: the command `last-logout`, for a user without privileges. See docs/operations.md.

# Pinned by its tag. To pin it by its digest as well, add it: --build-arg NODE_IMAGE=node:24-trixie-slim@sha256:...
ARG NODE_IMAGE=node:24-trixie-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
# This step alone decides what is in the image: the program, started by the file `last-logout`.
RUN npm run build:bundle \
  && mv dist/bundle image \
  && ln -s last-logout.mjs image/last-logout

FROM ${NODE_IMAGE}
WORKDIR /app
COPY --from=build /build/image ./
# One container runs one process: `start`, `api` and `worker` use the same port, so that one health check fits all.
ENV PATH=/app:$PATH HOST=0.0.0.0 PORT=8080 WORKER_PORT=8080
# The user `node` of the base, as a number: Kubernetes can then verify that it is not root.
USER 1000:1000
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["last-logout", "healthcheck"]
ENTRYPOINT ["last-logout"]
CMD ["start"]
