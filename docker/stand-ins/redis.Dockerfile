ARG SUITE
FROM stand-in/debian:${SUITE}
ENTRYPOINT ["redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", ""]
