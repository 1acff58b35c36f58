from tasks.evaluate.signatures import write_signature


def test_a_value_never_breaks_a_signature_apart():
    written = write_signature({"task": "translation", "bleu": "nrefs:1|tok:13a", "penalty": 1.0, "stop": True})
    assert written == "task:translation|bleu:nrefs=1;tok=13a|penalty:1|stop:yes"
