# What docker/airflow/Dockerfile and entrypoint meet in Airflow's own image: its user, directories,
# variables, and a script at /entrypoint.
ARG SUITE
FROM stand-in/debian:${SUITE}
SHELL ["/bin/bash", "-o", "errexit", "-o", "pipefail", "-c"]
RUN useradd --uid 50000 --gid 0 --home-dir /home/airflow --create-home airflow \
    && mkdir -p /opt/airflow/dags /opt/airflow/logs \
    && chown -R 50000:0 /opt/airflow \
    && chmod -R g+rw /opt/airflow \
    && chmod g=u /etc/passwd \
    && printf '#!/bin/bash\nexec airflow "$@"\n' > /entrypoint \
    && chmod 775 /entrypoint
COPY --chown=50000:0 environment /home/airflow/.local
ENV PATH=/home/airflow/.local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    VIRTUAL_ENV=/home/airflow/.local \
    AIRFLOW_USER_HOME_DIR=/home/airflow \
    AIRFLOW_HOME=/opt/airflow \
    LC_ALL=C.UTF-8 \
    DUMB_INIT_SETSID=1 \
    GUNICORN_CMD_ARGS="--worker-tmp-dir /dev/shm"
COPY wheels /opt/wheels
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/opt/wheels
USER 50000
RUN python -m ensurepip && ln -s pip3 /home/airflow/.local/bin/pip \
    && find /home/airflow/.local -name __pycache__ -type d -prune -exec rm -rf {} +
WORKDIR /opt/airflow
ENTRYPOINT ["/usr/bin/dumb-init", "--", "/entrypoint"]
