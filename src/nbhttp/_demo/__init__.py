"""The demo API behind `nbhttp.testing.DemoServer`: a made-up town's bike share.

`data` makes the records, `table` holds the endpoints, one module for each group of them answers,
`pages` describes them, `app` puts them together and `serving` runs them in a thread.
"""
