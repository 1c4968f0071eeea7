# One image for every server process and the simulators; the process is the command.
FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends nodejs npm && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY pyproject.toml uv.lock package.json package-lock.json README.md LICENSE ./
RUN pip install --no-cache-dir uv==0.13.9 && uv sync --frozen --no-install-project --extra server --extra gateway --extra simulators
COPY alerts alerts
COPY device_drivers device_drivers
COPY gateway gateway
COPY server server
COPY simulators simulators
RUN uv sync --frozen --no-editable --extra server --extra gateway --extra simulators \
 && .venv/bin/python -m server.web.assets install \
 && cp -r server/web/static/vendor "$(.venv/bin/python -c 'import server.web, pathlib; print(pathlib.Path(server.web.__file__).parent)')/static/"

FROM python:3.11-slim-bookworm
RUN apt-get update && apt-get install -y --no-install-recommends dbus && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 10001 --home-dir /var/lib/vitalwire --create-home vitalwire
COPY --from=build /app/.venv /app/.venv
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 VITALWIRE_DATA=/var/lib/vitalwire
USER vitalwire
WORKDIR /var/lib/vitalwire
ENTRYPOINT ["vitalwire"]
CMD ["--help"]
