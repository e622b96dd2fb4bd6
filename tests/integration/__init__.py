"""Tests with real servers and projects."""

import pytest

pytest.register_assert_rewrite("tests.integration.matrix")
