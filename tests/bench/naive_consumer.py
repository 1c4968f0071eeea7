"""What one would write first: a paho callback that parses a message, inserts one row and commits. For comparison only.

Input: DSN, broker host and port as arguments. Output: rows in `naive_reading`; one line once it is subscribed.
"""

from __future__ import annotations

import json
import sys

import paho.mqtt.client as mqtt
import psycopg


def main() -> None:
    dsn, host, port = sys.argv[1:]
    conn = psycopg.connect(dsn)
    conn.execute(
        "CREATE TABLE naive_reading (message_id uuid PRIMARY KEY, device_id text, measured_at timestamptz,"
        " components jsonb)"
    )
    conn.execute("CREATE INDEX ON naive_reading (device_id, measured_at)")
    conn.commit()

    def on_message(_client: mqtt.Client, _userdata: object, message: mqtt.MQTTMessage) -> None:
        body = json.loads(message.payload)
        conn.execute(
            "INSERT INTO naive_reading VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            (body["message_id"], body["device"]["id"], body["measured_at"], json.dumps(body["components"])),
        )
        conn.commit()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="naive", clean_session=False)
    client.on_message = on_message
    client.on_subscribe = lambda *_: print("subscribed", flush=True)
    client.connect(host, int(port))
    client.subscribe("vw/1/gw/+/up/readings", qos=1)
    client.loop_forever()


if __name__ == "__main__":
    main()
