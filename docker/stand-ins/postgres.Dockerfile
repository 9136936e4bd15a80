ARG SUITE
FROM stand-in/debian:${SUITE}
COPY postgres.sh /
VOLUME ["/var/lib/postgresql/data"]
ENTRYPOINT ["bash", "/postgres.sh"]
