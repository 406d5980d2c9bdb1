"""Messages that the IPC layer cannot decode."""

from __future__ import annotations


class TestBadInput:
    def test_what_cannot_be_decoded_is_dropped_and_the_next_one_is_read(self, layer_for, caplog):
        layer = layer_for(symmetric_encryption_keys=["right"])
        layer_for(symmetric_encryption_keys=["wrong"]).send("a", {"secret": "text"})
        layer_for(serializer_format="json").send("a", {"secret": "text"})
        layer.send("a", {"n": 1})
        assert layer.receive(["a"]) == ("a", {"n": 1})
        assert layer.undecodable_count == 2
        assert caplog.text.count("Dropped a message on channel 'a'") == 1  # and the others with a count, later
        assert "text" not in caplog.text
