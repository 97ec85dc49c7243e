"""How good the transcripts are: word error rates, language identification and translation on a labelled corpus."""
