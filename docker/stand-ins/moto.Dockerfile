ARG SUITE
FROM stand-in/debian:${SUITE}
COPY environment /opt/moto
ENV PATH=/opt/moto/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENTRYPOINT ["moto_server", "--host", "0.0.0.0"]
