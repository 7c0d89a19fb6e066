{#- How each warehouse reads JSON. `json` is a column or an expression. -#}

{%- macro json_get(json, keys) -%}
    {{ return(adapter.dispatch('json_get', 'dbt_fullstory_imports')(json, keys)) }}
{%- endmacro -%}

{%- macro postgres__json_get(json, keys) -%}
    ({{ json }}
    {%- for key in keys %} -> {{ dbt_fullstory_imports.text_literal(key) }}{% endfor -%})
{%- endmacro -%}

{%- macro snowflake__json_get(json, keys) -%}
    {{ json }}
    {%- for key in keys -%}[{{ dbt_fullstory_imports.text_literal(key) }}]{%- endfor -%}
{%- endmacro -%}


{#- A text as it is, anything else as JSON. -#}
{%- macro json_text(json) -%}
    {{ return(adapter.dispatch('json_text', 'dbt_fullstory_imports')(json)) }}
{%- endmacro -%}

{%- macro postgres__json_text(json) -%}
    ({{ json }} #>> '{}')
{%- endmacro -%}

{%- macro snowflake__json_text(json) -%}
    cast({{ json }} as varchar)
{%- endmacro -%}


{#- string, number, boolean, array, object or null -#}
{%- macro json_kind(json) -%}
    {{ return(adapter.dispatch('json_kind', 'dbt_fullstory_imports')(json)) }}
{%- endmacro -%}

{%- macro postgres__json_kind(json) -%}
    jsonb_typeof({{ json }})
{%- endmacro -%}

{%- macro snowflake__json_kind(json) -%}
    case typeof({{ json }})
        when 'VARCHAR' then 'string'
        when 'BOOLEAN' then 'boolean'
        when 'ARRAY' then 'array'
        when 'OBJECT' then 'object'
        when 'NULL_VALUE' then 'null'
        else case when {{ json }} is not null then 'number' end
    end
{%- endmacro -%}


{#- A join with the fields of an object: `field.key` and `field.value`. -#}
{%- macro json_fields(json) -%}
    {{ return(adapter.dispatch('json_fields', 'dbt_fullstory_imports')(json)) }}
{%- endmacro -%}

{%- macro postgres__json_fields(json) -%}
    cross join lateral jsonb_each(
        case when jsonb_typeof({{ json }}) = 'object' then {{ json }} end
    ) as field (key, value)
{%- endmacro -%}

{%- macro snowflake__json_fields(json) -%}
    , lateral flatten(input => {{ json }}) as field
{%- endmacro -%}


{#- A join with the elements of an array: `element.value`. -#}
{%- macro json_elements(json) -%}
    {{ return(adapter.dispatch('json_elements', 'dbt_fullstory_imports')(json)) }}
{%- endmacro -%}

{%- macro postgres__json_elements(json) -%}
    cross join lateral jsonb_array_elements({{ json }}) as element (value)
{%- endmacro -%}

{%- macro snowflake__json_elements(json) -%}
    , lateral flatten(input => {{ json }}) as element
{%- endmacro -%}


{%- macro text_literal(text) -%}
    {{ return(adapter.dispatch('text_literal', 'dbt_fullstory_imports')(text)) }}
{%- endmacro -%}

{%- macro default__text_literal(text) -%}
    '{{ text | replace("'", "''") }}'
{%- endmacro -%}

{%- macro snowflake__text_literal(text) -%}
    '{{ text | replace("\\", "\\\\") | replace("'", "''") }}'
{%- endmacro -%}
