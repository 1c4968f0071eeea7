"""Closed words of status and sessions, as sentences for whoever stands in front of the box.

Input: a word. Output: what it means and what to do.
"""

from __future__ import annotations

from typing import Final

from gateway.health import READING_MAY_BE_LOST

SENTENCES: Final[dict[str, str]] = {
    # the disk
    "journal-full": "The disk is full. No device is read until there is room; free space on the box.",
    "journal-nearly-full": "The disk is nearly full. Free space on the box, or check why readings are not getting out.",
    "journal-read-only": "The data folder cannot be written. Check the SD card; readings wait in the devices.",
    "journal-disk-error": "The disk reports errors. Replace the SD card; readings wait in the devices.",
    "journal-cannot-open": "The journal cannot be opened. Check who owns the data folder.",
    "journal-busy": "Another program holds the journal. Only one gateway may use a data folder.",
    "journal-too-new": "The journal was written by a newer version. Install that version again.",
    "journal-unavailable": "The journal cannot be written. Check the data folder.",
    "journal-damaged": "The journal file was damaged and has been replaced; devices are read again.",
    "journal-damaged-and-replaced": "The journal file was damaged and has been replaced; the old one is kept.",
    # the broker and the server
    "connected": "Connected to the practice's broker.",
    "broker-not-reached-yet": "Connecting to the practice's broker.",
    "broker-unreachable": "The practice's broker cannot be reached. Check the network cable or Wi-Fi.",
    "broker-does-not-answer": "The practice's broker does not answer. It is tried again by itself.",
    "broker-certificate-refused": "The broker's certificate is not trusted. Check the CA file and this box's date.",
    "tls-failed": "The encrypted connection failed. Check the address (mqtts://) and the certificate files.",
    "broker-refused-credentials": "The broker refused user name, password or certificate. Enrol this box again.",
    "broker-refused-protocol-version": "The broker does not speak MQTT 5. Ask the practice's operator.",
    "broker-refused-connection": "The broker refused the connection. Ask the practice's operator.",
    "identity-used-twice": "Another box uses this box's identity. Switch the other one off, or enrol this box again.",
    "connection-keeps-breaking": "The connection breaks soon after it is made. Does another box use this identity?",
    "connection-lost": "The connection to the broker was lost. It is tried again by itself.",
    "publish-refused": "The broker takes no readings from this box. Ask the practice's operator; nothing is lost.",
    "nobody-listens": "The practice's server is not listening. Readings are kept and sent again.",
    "readings-rejected": "The server refused readings. See: vitalwire gateway outbox show",
    # the radio
    "radio-unavailable": "Bluetooth cannot be used. Is an adapter plugged in, and is bluetoothd running?",
    "radio-silent": "Bluetooth hears nothing at all. Move the adapter away from USB 3 and Wi-Fi, or replace it.",
    "bluetooth-daemon-not-reached-yet": "Waiting for the Bluetooth service (bluetoothd).",
    "bluetooth-daemon-missing": "The Bluetooth service (bluetoothd) is not running: sudo systemctl start bluetooth",
    "gateway-clock-not-set": "This box does not know the time and reads nobody meanwhile. Connect it to the network.",
    # one device
    READING_MAY_BE_LOST: "The cuff was on the air but handed over nothing. Please repeat the measurement.",
    "packet-not-understood": "The device sent something unknown. It is kept and can be read after an update.",
    "packets-not-understood": "Some packets could not be read. They are kept and can be read after an update.",
    "reading-held": "The device sent something that is nobody's reading (a demonstration, a test). It is kept here.",
    "pairing-needed": "The device wants to be paired: vitalwire gateway pair",
    "pairing-failed": "Pairing failed. Put the device in pairing mode and try: vitalwire gateway pair",
    "bond-lost": "The device forgot this box (paired with a phone?). Pairing is renewed at the next contact.",
    "connect-timeout": "The device did not answer. Bring it nearer to the box.",
    "connect-failed": "The connection failed. It is tried again when the device is heard.",
    "device-gone": "The device went off the air. Take a measurement, or switch it on again.",
    "link-lost": "The connection broke. It is tried again by itself.",
    "adapter-busy": "The Bluetooth adapter was busy. It is tried again by itself.",
    "services-unknown": "The device's services could not be read. It is tried again by itself.",
    "session-too-long": "The device took too long. It is tried again at the next contact.",
    "device-refused": "The device refused an order. It is tried again at the next contact.",
    "device-not-understood": "The device does not behave as its profile says. Report its model.",
    "driver-failed": "The driver of this device failed. Report its model; what was heard is kept.",
    "transfer-incomplete": "The transfer broke off. The rest is read at the next contact.",
    "memory-reset": "The meter's memory was wiped, or its battery changed.",
    "records-missing": "The meter announced more records than it sent.",
    "clock-refused": "The device does not take the time. Set its clock by hand; readings are corrected meanwhile.",
}


def sentence(word: str) -> str:
    """What a word means; a word without a sentence stands for itself."""
    return SENTENCES.get(word, word.replace("-", " "))
